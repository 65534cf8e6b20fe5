from __future__ import annotations

import copy
import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.modeling.tiny_models import config as tiny_config
from tests.modeling.tiny_models import latin_t5_tokenizer, make

from summexp.check import check
from summexp.command_line import parse
from summexp.errors import ConfigError
from summexp.evaluation.evaluate import evaluate
from summexp.evaluation.generated.generation_options import GenerationOptions
from summexp.evaluation.generation_trial import try_generation
from summexp.runs.preparation import RunContext, prepare_run
from summexp.runs.record import RunRecord
from summexp.runs.resume import RunPlan

FEW = ("data.max_train_samples=2", "data.max_eval_samples=2")
PLAN = RunPlan(resumes=False, train=True, evaluate=True, predict=False)


def prepared(folder: Path, *words: str, **training: Any) -> RunContext:
    config = check(parse(["hardware=cpu", *words]))[0].config
    config = replace(config, training=replace(config.training, **training))
    return prepare_run(config, folder, RunRecord(folder, {}), PLAN)


@pytest.mark.parametrize(
    ("words", "longest"),
    [
        (["data.max_target_length=200"], 200),
        (["data.max_target_length=64"], 64),
        (["data.max_target_length=64", "data.val_max_target_length=30"], 30),
        (["data.max_target_length=64", "generation.max_new_tokens=7"], 8),
    ],
)
def test_summaries_are_never_stuck_at_upstreams_20_tokens(
    words: list[str], longest: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUMMEXP_CACHE", str(tmp_path / "cache"))
    run = prepared(tmp_path, *FEW, *words)
    # What generates while training, after it and for the test set, and what is saved.
    assert run.settings.generation.max_length == longest
    assert run.model.generation_config is run.settings.generation


@pytest.mark.parametrize(
    ("half", "multiple"), [({}, 1), ({"bf16": True}, 8), ({"fp16": True, "use_cpu": True}, 8)]
)
def test_either_half_precision_pads_to_a_multiple_of_8(
    half: dict[str, bool], multiple: int, tmp_path: Path
) -> None:
    """The old script did so for fp16 alone."""
    run = prepared(tmp_path, "debug=tiny", **half)
    row = {"input_ids": [9, 8, 7, 6, 1], "labels": [5, 6, 1]}
    batch = run.collate([row])
    assert batch["input_ids"].shape[1] == (5 if multiple == 1 else 8)
    assert batch["labels"].shape[1] == (3 if multiple == 1 else 8)


def test_every_set_has_its_name_and_the_prefix_stands_before_every_document(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train", "near", "far"):
        (tmp_path / f"{name}.csv").write_text(f"text,summary\nrain {name},wet\nsnow,cold\n")
    run = prepared(
        tmp_path,
        "debug=tiny",
        "data=custom_csv",
        "data.train_file=train.csv",
        "data.validation_files={near: near.csv, far: far.csv}",
        "model.source_prefix='summarize: '",
    )
    assert [one.name for one in run.validation] == ["eval_near", "eval_far"]
    texts = [
        run.tokenizer.batch_decode(tokens["input_ids"][:], skip_special_tokens=True)
        for tokens in (run.train, *(one.tokens for one in run.validation))
        if tokens is not None
    ]
    assert texts == [
        [f"summarize: rain {name}", "summarize: snow"] for name in ("train", "near", "far")
    ]


@pytest.mark.parametrize("words", [[], ["model.source_prefix="]])
def test_a_prefix_that_the_models_config_names_is_asked_for(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SUMMEXP_CACHE", str(tmp_path / "cache"))
    tiny = make(tiny_config("t5"))
    tiny.model.config.task_specific_params = {"summarization": {"prefix": "summarize: "}}
    for part in (tiny.model, tiny.tokenizer):
        part.save_pretrained(tmp_path / "t5")
    model = ("model=custom", f"model.name_or_path={tmp_path / 't5'}")
    with caplog.at_level(logging.WARNING, logger="summexp"):
        prepared(tmp_path, *model, *FEW, *words)
    assert ("'summarize: '" in caplog.text) is not bool(words)


@pytest.mark.parametrize("words", [[], ["generation=greedy"], ["generation=sample"]])
def test_a_model_that_samples_by_itself_is_reported(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setenv("SUMMEXP_CACHE", str(tmp_path / "cache"))
    tiny = make(tiny_config("llama"))
    tiny.model.generation_config.update(do_sample=True, temperature=0.6)
    for part in (tiny.model, tiny.tokenizer):
        part.save_pretrained(tmp_path / "llama")
    model = ("model=custom", f"model.name_or_path={tmp_path / 'llama'}")
    with caplog.at_level(logging.WARNING, logger="summexp"):
        one = prepared(tmp_path, *model, *FEW, *words)
    assert ("generation config samples" in caplog.text) is not bool(words)
    assert one.settings.generation.do_sample is (words != ["generation=greedy"])


@pytest.fixture
def bart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUMMEXP_CACHE", str(tmp_path / "cache"))
    tiny = make(tiny_config("bart"))
    for part in (tiny.model, tiny.tokenizer):
        part.save_pretrained(tmp_path / "bart")
    return tmp_path / "bart"


def with_own(folder: Path, **own: Any) -> tuple[str, ...]:
    """Return words that choose the model in a folder, whose generation config gets `own`."""
    file = folder / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text("utf-8")), **own}), encoding="utf-8")
    return ("model=custom", f"model.name_or_path={folder}", *FEW)


def test_what_else_a_model_would_return_is_ignored(
    bart: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    own = {"return_dict_in_generate": True, "output_scores": True, "num_beams": 2}
    several = {"num_return_sequences": 2, "penalty_alpha": 0.6, "prompt_lookup_num_tokens": 3}
    with caplog.at_level(logging.INFO, logger="summexp"):
        one = prepared(tmp_path, *with_own(bart, **own, **several), "data.max_target_length=12")
    for name in own.keys() | several.keys():
        assert (name in caplog.text) is (name != "num_beams")
        assert (getattr(one.model.generation_config, name) is None) is (name != "num_beams")
    (rows,) = one.validation
    result = evaluate(one.model, one.tokenizer, one.collate, rows, one.settings)
    assert len(result.predictions) == 2
    # It is saved with what the model was evaluated with.
    one.model.save_pretrained(tmp_path / "saved")
    saved = json.loads((tmp_path / "saved" / "generation_config.json").read_text("utf-8"))
    assert saved["num_beams"] == 2
    assert not {"return_dict_in_generate", "output_scores", *several} & {
        name for name, value in saved.items() if value
    }


@pytest.mark.parametrize(
    ("own", "words", "message"),
    [
        # What no rule of ours knows, the trial finds.
        ({"sequence_bias": [[4, 2.0]]}, (), "generation.sequence_bias: a trial"),
        ({}, ("generation.prompt_lookup_num_tokens=3",), "batch_size = 1"),
        ({}, ("generation.cache_implementation=quantized",), "quantized cache"),
    ],
)
def test_generation_that_fails_is_found_before_training(
    own: dict[str, Any], words: tuple[str, ...], message: str, bart: Path, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        prepared(tmp_path, *with_own(bart, **own), *words)
    # Without generation it does not matter.
    prepared(tmp_path, *with_own(bart, **own), *words, predict_with_generate=False)


def test_a_loaded_model_is_held_to_the_same_rules(bart: Path, tmp_path: Path) -> None:
    """A model of the Hub is not a folder that the checks could read."""
    with_own(bart, num_beams="4", penalty_alpha=0.6, forced_bos_token_id=9999)
    config = check(parse(["hardware=cpu", "debug=tiny", *FEW]))[0].config
    model = replace(config.model, name_or_path=str(bart), init="pretrained", architecture={})
    config = replace(config, model=model, debug=replace(config.debug, tiny=False))
    with pytest.raises(ConfigError) as caught:
        prepare_run(config, tmp_path, RunRecord(tmp_path, {}), PLAN)
    assert [problem.key for problem in caught.value.problems] == [
        *("generation.num_beams", "generation.penalty_alpha")
    ]
    generation = replace(config.generation, num_beams=2)
    with pytest.raises(ConfigError, match="forced_bos_token_id: 9999 is not the ID of a token"):
        prepare_run(replace(config, generation=generation), tmp_path, RunRecord(tmp_path, {}), PLAN)


def test_a_trial_changes_neither_the_model_nor_random_numbers(bart: Path, tmp_path: Path) -> None:
    one = prepared(tmp_path, *with_own(bart), "generation=sample")
    options, before = GenerationOptions(), copy.deepcopy(one.settings.generation)
    one.model.train()
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    try_generation(one.model, one.tokenizer, one.collate, one.settings, options)
    assert torch.rand(1) == expected
    assert one.model.training
    assert one.model.generation_config == before


def test_stop_strings_end_a_summary(bart: Path, tmp_path: Path) -> None:
    """Upstream asks for the tokenizer to read them."""
    words = (*with_own(bart, forced_bos_token_id=40, min_length=20), "data.max_target_length=30")
    plain = prepared(tmp_path, *words)
    first = plain.tokenizer.decode([40])
    stopped = prepared(tmp_path, *words, f"generation.stop_strings=[{json.dumps(first)}]")

    def tokens(one: RunContext) -> float:
        (rows,) = one.validation
        result = evaluate(one.model, one.tokenizer, one.collate, rows, one.settings)
        return result.metrics["eval_gen_len"]

    assert tokens(plain) >= 19
    assert tokens(stopped) <= 2


def test_references_cut_like_labels_are_one_a_row(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    row = {"document": "rain fell", "summary": "rain", "references": ["rain", "water"]}
    (tmp_path / "rows.jsonl").write_text("\n".join([json.dumps(row)] * 3), encoding="utf-8")
    file = tmp_path / "rows.jsonl"
    words = ("data=custom_json", f"data.train_file={file}", f"data.validation_file={file}")
    signatures = []
    for more in ((), ("metric.references=labels",), ("data.references_column=summary",)):
        caplog.clear()
        with caplog.at_level("INFO"):
            one = prepared(tmp_path, "debug=tiny", *words, *more)
        (scorer,) = (rows.scorer for rows in one.validation)
        assert scorer is not None
        signatures.append("refs:best" in scorer.signature)
        assert ("have several references" in caplog.text) == signatures[-1]
        assert "no row has several references" not in caplog.text
    assert signatures == [True, False, False]


def test_each_set_keeps_the_signature_of_its_scores(tmp_path: Path) -> None:
    one = {"document": "rain fell", "summary": "rain", "references": ["rain", "water"]}
    for name, summary in (("dev", "rain"), ("test", "비가 내렸다")):
        row = one | {"summary": summary}
        (tmp_path / f"{name}.jsonl").write_text(json.dumps(row), encoding="utf-8")
    files = {"train": "dev", "validation": "dev", "test": "test"}
    words = [f"data.{split}_file={tmp_path / name}.jsonl" for split, name in files.items()]
    choices = ["hardware=cpu", "debug=tiny", "data=custom_json", "data.language=null", *words]
    config = check(parse(choices))[0].config
    record = RunRecord(tmp_path, {})
    predicts = RunPlan(resumes=True, train=False, evaluate=False, predict=True)
    for plan in (PLAN, predicts):
        prepare_run(config, tmp_path, record, plan)
    found = record.content["signatures"]
    assert {name: text.split("|")[1] for name, text in found.items()} == {
        "eval": "lang:en(script)",
        "predict": "lang:ko(script)",
    }
    assert record.content["metric"] == f"eval: {found['eval']}; predict: {found['predict']}"
    prepare_run(config, tmp_path, alone := RunRecord(tmp_path, {}), PLAN)
    assert alone.content["metric"] == found["eval"]


def test_unknown_tokens_are_counted_and_warned_of(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = make(tiny_config("t5"))
    tiny.model.save_pretrained(tmp_path / "t5")
    latin_t5_tokenizer().save_pretrained(tmp_path / "t5")
    for name, document, summary in (
        ("ko", "시 ab", "ab"),
        ("en", "ab ab", "ab"),
    ):
        row = json.dumps({"document": document, "summary": summary}) + "\n"
        (tmp_path / f"{name}.jsonl").write_text(row * 4, encoding="utf-8")
    files = [f"data.train_file={tmp_path}/ko.jsonl", f"data.validation_file={tmp_path}/en.jsonl"]
    model = ["model=custom", f"model.name_or_path={tmp_path}/t5"]
    prepared(tmp_path, *model, "data=custom_json", *files)
    health = json.loads((tmp_path / "run.json").read_text("utf-8"))["data"]["health"]["splits"]
    # the documents: a space and 시, a space, a, b, the end; the summaries: a space, a, b, the end
    counted = {
        name: tuple(
            split[f"{unknown}{what}_tokens"]
            for what in ("document", "summary")
            for unknown in ("", "unknown_")
        )
        for name, split in health.items()
    }
    assert counted == {"train": (24, 4, 16, 0), "validation": (28, 0, 16, 0)}
    (warning,) = [one.message for one in caplog.records if "tokenizer does not know" in one.message]
    assert warning.startswith("train: ")
    assert "16.7 % of those of the documents are unknown" in warning
    assert "does not use for T5Tokenizer" in warning
