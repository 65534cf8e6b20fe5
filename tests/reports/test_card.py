import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import ModelCard
from tests.modeling.tiny_models import config, make
from tests.reports.conftest import score

from summexp.reports.card import write_model_card

MakeRun = Callable[..., Path]

ON_THE_HUB = """\
model: {name_or_path: google-t5/t5-small, init: pretrained, source_prefix: 'summarize: '}
data:
  name: EdinburghNLP/xsum
  config_name: default
  revision: refs/convert/parquet
  validation_split: validation
  test_split: test
  max_source_length: 512
  max_target_length: 64
  max_train_samples: 2400
  language: en
training: {hub_model_id: kim/t5-xsum}
"""


def card(folder: Path) -> ModelCard:
    path = write_model_card(folder)
    assert path == folder / "README.md"
    return ModelCard.load(path)


def test_the_metadata_of_a_hub_model(make_run: MakeRun) -> None:
    scores = [score("rougeL", 30.123456), score("rougeL", 29.5, of="predict")]
    data = card(make_run(config=ON_THE_HUB, scores=scores)).data
    assert data.base_model == "google-t5/t5-small"
    assert data.datasets == ["EdinburghNLP/xsum"]
    assert (data.language, data.pipeline_tag) == ("en", "summarization")
    assert data.metrics == ["rouge"]
    assert [
        (r.dataset_type, r.dataset_config, r.dataset_split, r.metric_name, r.metric_value)
        for r in data.eval_results
    ] == [
        ("EdinburghNLP/xsum", "default", "validation", "ROUGE-L", 30.1235),
        ("EdinburghNLP/xsum", "default", "test", "ROUGE-L", 29.5),
    ]
    assert {r.dataset_revision for r in data.eval_results} == {"refs/convert/parquet"}


def test_names_that_the_hub_cannot_know_stay_out_of_the_metadata(run_folder: Path) -> None:
    data = card(run_folder).data
    assert (data.base_model, data.datasets, data.language) == (None, None, None)
    assert {(r.dataset_type, r.dataset_name) for r in data.eval_results} == {
        ("unknown", "validation.csv")
    }


def test_a_local_model_is_no_base_model(
    make_run: MakeRun, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "google-t5" / "t5-small").mkdir(parents=True)
    assert card(make_run(config=ON_THE_HUB)).data.base_model is None


def test_a_stood_in_corpus_is_no_dataset(make_run: MakeRun) -> None:
    found = card(make_run(config=ON_THE_HUB + "debug: {tiny: true}\n"))
    assert (found.data.base_model, found.data.datasets) == (None, None)
    assert "It is not a useful model." in found.text


def test_the_text_reports_what_the_run_shows(run_folder: Path) -> None:
    text = card(run_folder).text
    for sentence in (
        "T5 from random weights, trained to summarize on train.csv.",
        "The training took 300 steps, 2 epochs on 2,396 rows.",
        "| ROUGE-L | 66.67 | 64.90 to 68.30 | 27.30 |",
        "- It was trained from random weights",
        "- 25.0 % of the training documents were cut at 512 tokens.",
        "- 2.1 % of the tokens of the training documents are unknown to the tokenizer.",
        "detected: ko (98 % of the letters in 300 references are Hangul).",
        "With summexp 0.1.0, transformers 5.23.0, torch 2.13.0, python 3.11.2.",
        "The code was at commit 0123456789ab with uncommitted changes.",
    ):
        assert sentence in text, sentence
    assert "summaries were cut" not in text
    assert "\n\n\n" not in text


LORA = (
    "peft: {name: lora, rank: 4, alpha: 8.0, dropout: 0.1, use_rslora: false, use_dora: false, "
    "bias: none, modules_to_save: []}\n"
)


def test_the_text_reports_how_an_adapter_was_trained(make_run: MakeRun) -> None:
    adapted = {
        "architecture": "T5ForConditionalGeneration",
        "parameters": 60_506_624,
        "trainable": 294_912,
        "adapted": ["decoder.block.0.q", "encoder.block.0.q", "encoder.block.1.v"],
    }
    found = card(make_run("plain", config=ON_THE_HUB + LORA, model=adapted))
    assert found.data.base_model == "google-t5/t5-small"
    settings = "rank 4, alpha 8, dropout 0.1; on q, v"
    sentence = f"A LoRA adapter of 294,912 weights was trained ({settings}) and merged into it."
    assert sentence in found.text
    assert "The adapter by itself is in the folder adapter." in found.text
    assert "Trained too" not in found.text

    other = LORA.replace("rslora: false, use_dora: false", "rslora: true, use_dora: true")
    other = other.replace("bias: none, modules_to_save: []", "bias: all, modules_to_save: [norm]")
    text = card(make_run("other", config=ON_THE_HUB + other, model=adapted)).text
    assert "A DoRA adapter of 294,912 weights was trained (rank 4, alpha 8 (rsLoRA), " in text
    assert "Trained too were norm, all biases." in text


def test_nothing_private_is_published(run_folder: Path) -> None:
    text = write_model_card(run_folder).read_text("utf-8")
    assert "kim" not in text
    assert "data.train_file=train.csv" in text


def test_there_are_no_links(make_run: MakeRun) -> None:
    text = write_model_card(make_run(config=ON_THE_HUB)).read_text("utf-8")
    assert not re.search(r"https?://|\]\(", text)


def test_the_limits_of_a_hub_model(make_run: MakeRun) -> None:
    text = card(make_run(config=ON_THE_HUB, status="interrupted")).text
    assert "google-t5/t5-small, fine-tuned to summarize on EdinburghNLP/xsum (default)." in text
    assert "random weights" not in text
    assert "At most the first 2,400 rows of the training split were used." in text
    assert "The run was interrupted, so that its training may not be complete." in text
    assert "recognised" not in text


def test_a_failed_run_has_no_empty_sections(failed_folder: Path) -> None:
    text = card(failed_folder).text
    assert re.findall("^## .*", text, re.MULTILINE) == ["## How it was made"]


def test_the_card_shows_how_to_use_the_model_only_where_there_is_one(run_folder: Path) -> None:
    assert "## Use" not in card(run_folder).text
    (run_folder / "config.json").write_text("{}")
    assert "## Use" in card(run_folder).text


@pytest.mark.parametrize(
    ("architecture", "options"),
    [
        ("T5ForConditionalGeneration", "model: {source_prefix: 'summarize: \"'}"),
        ("LEDForConditionalGeneration", "model: {source_prefix: null}"),
    ],
)
def test_the_code_of_the_card_runs(
    make_run: MakeRun,
    architecture: str,
    options: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    options += "\ndata: {max_source_length: 16}"
    model = {"architecture": architecture, "parameters": 1, "trainable": 1}
    folder = make_run(config=options, model=model)
    save_tiny_model(folder, architecture)
    (code,) = re.findall("```python\n(.*?)```", card(folder).text, re.DOTALL)
    monkeypatch.chdir(folder.parent)
    scope: dict[str, object] = {}
    exec(compile(code, "card", "exec"), scope)
    assert capsys.readouterr().out.endswith("\n")
    assert scope["inputs"]["input_ids"].shape[1] <= 16  # type: ignore[index]
    assert scope["summary"].shape == (1, 5)  # type: ignore[attr-defined]


@pytest.mark.parametrize("end", ["\nTL;DR:\n", ""])
def test_the_code_of_a_decoder_only_model_runs(
    end: str,
    make_run: MakeRun,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    model = {
        "architecture": "GPT2LMHeadModel",
        "parameters": 1,
        "trainable": 1,
        "target_prefix": end,
    }
    folder = make_run(config="model: {init: random}\ndata: {max_source_length: 16}", model=model)
    tiny = make(config("gpt2"))
    tiny.model.generation_config.max_new_tokens = 5
    tiny.model.generation_config.eos_token_id = None
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    found = card(folder)
    assert found.data.pipeline_tag == "text-generation"
    assert "summarization" in found.data.tags
    assert "GPT2 from random weights" in found.text
    assert ("TL;DR" in found.text) == bool(end)
    (code,) = re.findall("```python\n(.*?)```", found.text, re.DOTALL)
    monkeypatch.chdir(folder.parent)
    scope: dict[str, Any] = {}
    exec(compile(code, "card", "exec"), scope)
    assert capsys.readouterr().out.endswith("\n")
    assert scope["prompt"].shape[1] <= 16
    assert scope["output"].shape[1] == scope["prompt"].shape[1] + 5


def save_tiny_model(folder: Path, architecture: str) -> None:
    import torch
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = {"<pad>": 0, "</s>": 1, "<unk>": 2, "summarize": 3, "text": 4}
    backend = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="</s>", unk_token="<unk>"
    )
    torch.manual_seed(0)
    model_class = getattr(transformers, architecture)
    size = (
        {"d_model": 8, "d_kv": 4, "d_ff": 8, "num_layers": 1, "num_heads": 2}
        if architecture.startswith("T5")
        else {
            "d_model": 8,
            "encoder_layers": 1,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
            "encoder_ffn_dim": 8,
            "decoder_ffn_dim": 8,
            "attention_window": 4,
            "max_encoder_position_embeddings": 32,
        }
    )
    special = {"pad_token_id": 0, "eos_token_id": 1, "decoder_start_token_id": 0}
    model = model_class(model_class.config_class(vocab_size=5, bos_token_id=2, **size, **special))
    model.generation_config.update(max_new_tokens=4, min_new_tokens=4)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
