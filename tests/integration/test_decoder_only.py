"""Decoder-only models from the command line: they learn, go on, are merged, saved and refused."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tests import forked
from tests.integration.test_choices import predictions, results, run
from transformers import AutoModelForCausalLM, AutoTokenizer

WORDS = ["river", "dog", "버스", "요금", "東京", "snow", "猛暑日", "mill"]
LLAMA = (
    "model=custom",
    "model.init=random",
    "model.architecture.model_type=llama",
    "model.architecture.vocab_size=320",
    "model.architecture.hidden_size=64",
    "model.architecture.intermediate_size=128",
    "model.architecture.num_hidden_layers=2",
    "model.architecture.num_attention_heads=4",
    "model.architecture.num_key_value_heads=2",
    "model.architecture.head_dim=16",
    "data=custom_json",
    "data.train_file=train.jsonl",
    "data.validation_file=dev.jsonl",
    "hardware=cpu",
    "training.per_device_train_batch_size=32",
    "training.learning_rate=3e-3",
    "training.warmup_steps=20",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Documents of two to seven words, and their first two as the summary."""
    place = tmp_path_factory.mktemp("copy")
    chance = random.Random(0)
    for name, count in (("train", 400), ("dev", 30)):
        lines = []
        for _ in range(count):
            words = [chance.choice(WORDS) for _ in range(chance.randint(2, 7))]
            row = {"document": f"{' '.join(words)}.", "summary": " ".join(words[:2])}
            lines.append(json.dumps(row, ensure_ascii=False) + "\n")
        (place / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    rows = [json.loads(line) for line in (place / "dev.jsonl").read_text("utf-8").splitlines()]
    documents = [*(row["document"] for row in rows[:9]), "", "東京 버스."]
    (place / "test.txt").write_text("\n".join(documents) + "\n", encoding="utf-8")
    return place


@pytest.fixture(scope="module")
def learnt(place: Path) -> Path:
    folder = place / "learnt"
    run(*LLAMA, "training.max_steps=160", "training.eval_on_start=true", folder=folder)
    return folder


def test_it_learns_to_copy(learnt: Path) -> None:
    history = json.loads((learnt / "trainer_state.json").read_text("utf-8"))["log_history"]
    scores = [entry["eval_rougeL"] for entry in history if "eval_rougeL" in entry]
    assert scores[0] < 5
    # Scored as English, a summary of foreign words alone counts for nothing.
    assert results(learnt)["eval_rougeL"] > 80
    assert results(learnt)["eval_loss"] < 0.2
    # Two words and the end, and not the prompt.
    assert 3 <= results(learnt)["eval_gen_len"] < 6
    record = json.loads((learnt / "run.json").read_text("utf-8"))
    assert record["model"]["architecture"] == "LlamaForCausalLM"
    assert record["model"]["target_prefix"] == "\nTL;DR:\n"


def test_the_run_folder_predicts_every_row(learnt: Path, place: Path) -> None:
    words = (
        *LLAMA,
        "training.max_steps=160",
        "training.do_predict=true",
        "data.test_file=test.txt",
    )
    output = run(*words, "generation.num_beams=2", folder=learnt)
    assert "resuming from" not in output
    found = predictions(learnt)
    documents = (place / "test.txt").read_text("utf-8").splitlines()
    assert [row["id"] for row in found] == [str(number) for number in range(len(documents))]
    right = [
        " ".join(document.rstrip(".").split()[:2]) == row["prediction"]
        for document, row in zip(documents, found, strict=True)
    ]
    assert sum(right) >= 9
    assert not any("TL;DR" in row["prediction"] for row in found)
    # The folder is a model like any other, which the code of the card uses.
    model = AutoModelForCausalLM.from_pretrained(learnt)
    tokenizer = AutoTokenizer.from_pretrained(learnt)
    prompt = tokenizer(documents[0]).input_ids
    prompt += tokenizer("\nTL;DR:\n", add_special_tokens=False).input_ids
    written = model.generate(torch.tensor([prompt]))[0, len(prompt) :]
    assert tokenizer.decode(written, skip_special_tokens=True) == found[0]["prediction"]


def test_an_adapter_is_merged_on_save(learnt: Path, place: Path) -> None:
    folder = place / "adapted"
    words = (f"model.name_or_path={learnt}", "model.init=pretrained", "peft=lora")
    words = (*words, "training.max_steps=3", "engine=accelerate", "training.learning_rate=1e-2")
    run(*LLAMA, *words, folder=folder)
    adapter = json.loads((folder / "adapter" / "adapter_config.json").read_text("utf-8"))
    assert adapter["task_type"] == "CAUSAL_LM"
    assert adapter["target_modules"] == ["q_proj", "v_proj"]
    merged = load_file(folder / "model.safetensors")
    base = load_file(learnt / "model.safetensors")
    assert merged.keys() == base.keys()
    changed = {name for name in merged if not merged[name].equal(base[name])}
    assert {name.split(".")[-2] for name in changed} == {"q_proj", "v_proj"}


@pytest.mark.parametrize("engine", ["trainer", pytest.param("accelerate", marks=pytest.mark.slow)])
def test_a_stream(engine: str, place: Path) -> None:
    folder = place / f"stream-{engine}"
    words = (*LLAMA, "data.streaming=true", "training.max_steps=4", f"engine={engine}")
    run(*words, "data.max_source_length=64", "model.target_prefix=' = '", folder=folder)
    assert results(folder)["eval_loss"] < 6


@pytest.mark.parametrize(
    ("word", "reported"),
    [
        ("model.lang=ko_KR", "model.lang: is for multilingual encoder-decoders"),
        ("engine.loss=upstream", "engine.loss: upstream is the loss of the old scripts"),
        ("experiment=hf_parity", "engine.loss: upstream is the loss of the old scripts"),
        ("data.max_source_length=2000", "data.max_source_length: "),
        ("data.max_source_length=3", "model.target_prefix takes"),
    ],
)
def test_mistakes_are_reported(
    word: str, reported: str, learnt: Path, place: Path, tmp_path: Path
) -> None:
    static = ("data.pad_to_max_length=true", "metric.sentences=sentencex")
    words = (*LLAMA, *static, f"model.name_or_path={learnt}", "model.init=pretrained", word)
    code, output = forked.run(*words, f"output_dir={tmp_path}/run", log=tmp_path / "log", cwd=place)
    assert code == 2, output
    assert reported in output
    assert "Traceback" not in output
    if word.endswith("2000"):
        assert "2000 + 128 = 2128 with the longest summary" in output
        assert "Set it to 1920" in output


def test_an_encoder_decoder_rejects_what_goes_between(place: Path) -> None:
    words = ("debug=tiny", "model=t5_small", "model.target_prefix='TL;DR: '", "output_dir=between")
    code, output = forked.run(*words, log=place / "log", cwd=place)
    assert code == 2, output
    assert "model.target_prefix: is for decoder-only models" in output
