from __future__ import annotations

import json
import os
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.engines.jobs import job, same_weights, training
from tests.engines.outcomes import ENGINES, fit
from tests.modeling.tiny_models import Tiny, config, make
from transformers import Seq2SeqTrainingArguments, T5ForConditionalGeneration, TrainerState

from summexp.engines import checkpoint
from summexp.engines.checkpoint import load_weights, new_checkpoint, save_model
from summexp.engines.config import EngineConfig
from summexp.engines.registry import build_engine
from summexp.engines.trainer_arguments import job_arguments
from summexp.evaluation.evaluate import EvaluationResult
from summexp.modeling.config import PeftConfig
from summexp.run_folder.checkpoints import checkpoints, step_of, verify


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    return make(config("t5"))


def arguments(tiny: Tiny, folder: Path, **options: Any) -> Seq2SeqTrainingArguments:
    return job_arguments(job(folder, tiny=tiny, training=training(**options)))


def state_at(step: int, best: Path | None = None) -> TrainerState:
    return TrainerState(global_step=step, best_model_checkpoint=best and str(best))


def steps_in(folder: Path) -> list[int]:
    return sorted(step_of(one) for one in checkpoints(folder))


def test_a_checkpoint_is_complete_once_it_is_written(tiny: Tiny, tmp_path: Path) -> None:
    args = arguments(tiny, tmp_path)
    stale = tmp_path / "checkpoint-3"
    stale.mkdir()
    (stale / "half").write_bytes(b"written")
    with new_checkpoint(args, state_at(3)) as folder:
        assert folder == stale
        assert not any(folder.iterdir())
        save_model(tiny.model, tiny.tokenizer, folder)
        assert verify(folder) is not None
    assert verify(folder) is None


def test_what_fails_while_it_is_written_is_not_taken_as_complete(
    tiny: Tiny, tmp_path: Path
) -> None:
    args = arguments(tiny, tmp_path, save_total_limit=1)
    with new_checkpoint(args, state_at(1)) as first:
        save_model(tiny.model, tiny.tokenizer, first)
    with pytest.raises(OSError, match="full"):
        break_off(tiny, args)
    assert verify(first) is None
    assert verify(tmp_path / "checkpoint-2") is not None


def break_off(tiny: Tiny, args: Seq2SeqTrainingArguments) -> None:
    with new_checkpoint(args, state_at(2)) as folder:
        save_model(tiny.model, tiny.tokenizer, folder)
        raise OSError("the disk is full")


def test_older_ones_go_when_the_new_one_is_complete(tiny: Tiny, tmp_path: Path) -> None:
    args = arguments(tiny, tmp_path, save_total_limit=2)
    for step in (2, 9, 10):
        with new_checkpoint(args, state_at(step)):
            before = steps_in(tmp_path)
    assert before == [2, 9, 10]
    assert steps_in(tmp_path) == [9, 10]


def test_the_best_one_stays(tiny: Tiny, tmp_path: Path) -> None:
    args = arguments(tiny, tmp_path, save_total_limit=1)
    best = tmp_path / "checkpoint-1"
    for step in (1, 2, 3):
        with new_checkpoint(args, state_at(step, best)):
            pass
    assert steps_in(tmp_path) == [1, 3]


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_weights_are_read_as_they_were_saved(model_type: str, tmp_path: Path) -> None:
    """T5 and BART have weights that are another's, which are not in the file."""
    saved, other = make(config(model_type)), make(config(model_type))
    with torch.no_grad():
        for weight in saved.model.parameters():
            weight.normal_()
    save_model(saved.model, saved.tokenizer, tmp_path)
    assert not same_weights(saved.model, other.model)
    load_weights(other.model, tmp_path)
    assert same_weights(saved.model, other.model)
    assert (
        other.model.get_input_embeddings().weight is other.model.get_encoder().embed_tokens.weight
    )


def drawn() -> list[float]:
    return [random.random(), float(np.random.rand()), torch.rand(()).item()]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_random_numbers_of_either_engine_are_restored(
    engine: str, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_the_end = []
    complete = checkpoint.write_manifest

    def write_manifest(folder: Path) -> None:
        # What is drawn next is put back.
        numbers = checkpoint._random_numbers()
        at_the_end.append(drawn())
        random.setstate(numbers["python"])
        np.random.set_state(numbers["numpy"])
        torch.set_rng_state(numbers["cpu"])
        complete(folder)

    monkeypatch.setattr(checkpoint, "write_manifest", write_manifest)
    fit(engine, tmp_path / "run", tiny, {"max_steps": 1, "save_strategy": "steps"})
    drawn()
    checkpoint._restore_random_numbers(tmp_path / "run" / "checkpoint-1" / "rng_state.pth")
    assert drawn() == at_the_end[0]


def history_of(folder: Path) -> list[dict[str, float]]:
    return list(json.loads((folder / "trainer_state.json").read_text())["log_history"])


@pytest.mark.parametrize("engine", ENGINES)
def test_what_resumes_does_so_at_the_intervals_of_now(
    engine: str, tiny: Tiny, tmp_path: Path
) -> None:
    first = {"max_steps": 2, "save_strategy": "steps", "save_steps": 2}
    fit(engine, tmp_path, tiny, first)
    rest = {
        "max_steps": 6,
        "save_strategy": "steps",
        "save_steps": 3,
        "logging_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 5,
    }
    fit(engine, tmp_path, tiny, rest, resume_from=tmp_path / "checkpoint-2")
    assert steps_in(tmp_path) == [2, 3, 6]
    history = history_of(tmp_path)
    assert [entry["step"] for entry in history if "loss" in entry] == [1, 2, 4, 6]
    assert [entry["step"] for entry in history if "eval_loss" in entry] == [5, 6]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_best_checkpoint_that_is_gone_is_not_loaded(
    engine: str, tiny: Tiny, tmp_path: Path
) -> None:
    options = {
        "max_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "load_best_model_at_end": True,
    }
    fit(engine, tmp_path / "first", tiny, options, scores=(1.0, 2.0))
    state = json.loads((tmp_path / "first/checkpoint-2/trainer_state.json").read_text())
    assert Path(state["best_model_checkpoint"]).name == "checkpoint-1"
    (tmp_path / "first/checkpoint-1").rename(tmp_path / "elsewhere")
    last = fit(
        engine,
        tmp_path / "rest",
        tiny,
        {**options, "max_steps": 3},
        resume_from=tmp_path / "first" / "checkpoint-2",
        scores=(3.0,),
    )
    assert last.states[""]["best_model_checkpoint"] is None
    assert last.states[""]["best_metric"] == 1.0
    assert last.reported["evaluated"] is not None


@pytest.mark.parametrize("engine", ENGINES)
def test_a_best_checkpoint_elsewhere_is_not_loaded(
    engine: str, tiny: Tiny, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The path is read from a file of the checkpoint, which may come from somebody else."""
    options = {
        "max_steps": 2,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
    }
    # Upstream would take it for a checkpoint.
    mine = tmp_path / "run" / "checkpoint-7-of-mine"
    mine.mkdir(parents=True)
    (mine / "notes.txt").write_text("put here by the user")
    fit(engine, tmp_path / "run", tiny, options, scores=(1.0, 2.0))
    assert steps_in(tmp_path / "run") == [1]
    assert (mine / "notes.txt").exists()
    elsewhere = tmp_path / "elsewhere" / "checkpoint-1"
    elsewhere.mkdir(parents=True)
    (elsewhere / "model.safetensors").write_bytes(b"not to be read")
    state_file = tmp_path / "run" / "checkpoint-1" / "trainer_state.json"
    state = json.loads(state_file.read_text())
    assert Path(state["best_model_checkpoint"]).name == "checkpoint-1"
    state_file.write_text(json.dumps(state | {"best_model_checkpoint": str(elsewhere)}))
    checkpoint_1 = tmp_path / "run" / "checkpoint-1"
    fit(engine, tmp_path / "run", tiny, options, resume_from=checkpoint_1, scores=(3.0,))
    state = json.loads((tmp_path / "run" / "trainer_state.json").read_text())
    assert Path(state["best_model_checkpoint"] or checkpoint_1).parent == tmp_path / "run"
    assert "ignoring the best checkpoint" in caplog.text
    assert (elsewhere / "model.safetensors").read_bytes() == b"not to be read"


@pytest.mark.parametrize("engine", ENGINES)
def test_every_file_follows_the_umask(engine: str, tmp_path: Path) -> None:
    """safetensors alone would let only the user read what it writes."""
    tiny = make(config("t5"), peft=PeftConfig(name="lora"))
    before = os.umask(0o027)
    try:
        fit(engine, tmp_path / "run", tiny, {"save_strategy": "epoch"})
    finally:
        os.umask(before)
    paths = sorted((tmp_path / "run").rglob("*"))
    assert {path.name for path in paths} > {"model.safetensors", "adapter_model.safetensors"}
    modes = {path: path.stat().st_mode & 0o777 for path in paths}
    assert {path: mode for path, mode in modes.items() if mode not in (0o640, 0o750)} == {}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("saves", ["no", "steps"])
def test_the_trained_weights_outlive_an_evaluation_that_fails(
    engine: str, saves: str, tmp_path: Path
) -> None:
    def evaluate(*_: Any) -> list[EvaluationResult]:
        raise AssertionError("a metric failed")

    one = job(
        tmp_path,
        tiny=make(config("t5")),
        engine=EngineConfig(name=engine),
        training=training(**EVALUATED_LAST, save_strategy=saves),
        evaluate=evaluate,
    )
    with pytest.raises(AssertionError, match="a metric failed"):
        build_engine(one.engine).fit(one, None)
    saved = T5ForConditionalGeneration.from_pretrained(tmp_path)
    assert same_weights(saved, one.model)
    assert not same_weights(saved, make(config("t5")).model)
    assert (tmp_path / "tokenizer.json").is_file()


EVALUATED_LAST = {
    "max_steps": 2, "per_device_train_batch_size": 4, "do_eval": True, "eval_strategy": "steps",
    "eval_steps": 2,
}  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_the_weights_of_an_adapter_outlive_it_too(engine: str, tmp_path: Path) -> None:
    def evaluate(*_: Any) -> list[EvaluationResult]:
        raise AssertionError("a metric failed")

    tiny = make(config("t5"), peft=PeftConfig(name="lora"))
    options = training(**EVALUATED_LAST)
    one = job(
        tmp_path,
        tiny=tiny,
        engine=EngineConfig(name=engine),
        training=options,
        evaluate=evaluate,
    )
    with pytest.raises(AssertionError, match="a metric failed"):
        build_engine(one.engine).fit(one, None)
    saved = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    trained = {
        name.replace(".default", ""): weight
        for name, weight in tiny.model.named_parameters()
        if weight.requires_grad
    }
    assert len(saved) == len(trained) > 0
    for name, weight in saved.items():
        (mine,) = (value for key, value in trained.items() if name.endswith(key))
        assert weight.equal(mine)


@pytest.mark.parametrize("engine", ENGINES)
def test_weights_saved_before_the_last_evaluation_are_not_saved_again(
    engine: str, tmp_path: Path
) -> None:
    written: list[int] = []

    def evaluate(*_: Any) -> list[EvaluationResult]:
        file = tmp_path / "model.safetensors"
        written.append(file.stat().st_mtime_ns if file.is_file() else 0)
        return [EvaluationResult({"eval_loss": 1.0 - len(written)}, [], {})]

    options = {**EVALUATED_LAST, "eval_steps": 1}
    one = job(
        tmp_path,
        engine=EngineConfig(name=engine),
        training=training(**options),
        evaluate=evaluate,
    )
    build_engine(one.engine).fit(one, None)
    assert written == [0, (tmp_path / "model.safetensors").stat().st_mtime_ns]


@pytest.mark.parametrize("engine", ENGINES)
def test_the_best_weights_replace_those_of_the_last_step(engine: str, tmp_path: Path) -> None:
    seen: list[torch.Tensor] = []

    def evaluate(model: Any, *_: Any) -> list[EvaluationResult]:
        seen.append(model.get_input_embeddings().weight.detach().clone())
        return [EvaluationResult({"eval_loss": float(len(seen))}, [], {})]

    options = {**EVALUATED_LAST, "eval_steps": 1, "save_strategy": "steps", "save_steps": 1}
    best = {"load_best_model_at_end": True, "metric_for_best_model": "eval_loss"}
    one = job(
        tmp_path,
        engine=EngineConfig(name=engine),
        training=training(**options, **best, greater_is_better=False),
        evaluate=evaluate,
    )
    build_engine(one.engine).fit(one, None)
    saved = load_file(tmp_path / "model.safetensors")["shared.weight"]
    assert saved.equal(seen[0])
    assert not saved.equal(seen[1])
