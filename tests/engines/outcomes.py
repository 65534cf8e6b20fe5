"""What a training leaves, in a form in which two trainings can be compared."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import IterableDataset
from safetensors.torch import load_file
from tests.engines.jobs import job, training, with_dropout
from tests.modeling.tiny_models import Tiny

from summexp.engines.accelerate import AccelerateEngine
from summexp.engines.config import EngineConfig
from summexp.engines.protocol import Engine
from summexp.engines.trainer import TrainerEngine
from summexp.evaluation.evaluate import EvaluationResult
from summexp.run_folder.checkpoints import checkpoints

ENGINES: dict[str, Callable[[], Engine]] = {
    "trainer": TrainerEngine,
    "accelerate": AccelerateEngine,
}
ROWS = 10
BASE: dict[str, Any] = {
    "per_device_train_batch_size": 4,
    "num_train_epochs": 2,
    "do_eval": True,
}
"""Three steps an epoch, the last of two rows."""
SCORES = (4.0, 2.0, 3.0, 2.5, 1.0, 5.0, 0.5, 6.0, 0.0)
_RUNTIME = {"train_runtime", "train_samples_per_second", "train_steps_per_second"}


@dataclass
class Outcome:
    """What a training left."""

    reported: dict[str, Any]
    """What the engine returned."""
    metrics: dict[str, float]
    """Likewise."""
    history: list[dict[str, float]]
    """What was logged, in order."""
    states: dict[str, dict[str, Any]]
    """`trainer_state.json` of the run folder ("") and of each checkpoint, the history aside."""
    files: dict[str, set[str]]
    """Names of the files in each of them."""
    weights: dict[str, torch.Tensor]
    """Those of the model at hand, and those saved."""
    model: torch.nn.Module


def scripted(scores: Sequence[float] = SCORES) -> Callable[..., list[EvaluationResult]]:
    """An evaluation whose loss is given, beside a number that tells which weights it saw."""
    left = iter(scores)

    def evaluate(model: torch.nn.Module, _: Any) -> list[EvaluationResult]:
        score = next(left)
        weights = sum(weight.double().abs().sum().item() for weight in model.parameters())
        metrics = {"eval_loss": score, "eval_rougeL": -score, "eval_weights": weights}
        return [EvaluationResult(metrics, [], {})]

    return evaluate


def fit(
    engine: str,
    folder: Path,
    tiny: Tiny,
    options: dict[str, Any],
    *,
    resume_from: Path | None = None,
    scores: Sequence[float] = SCORES,
    stream: IterableDataset | None = None,
    **engine_options: Any,
) -> Outcome:
    """Train a copy of a tiny model, which leaves out a tenth of its activations."""
    folder.mkdir(exist_ok=True)
    chosen = EngineConfig(name=engine, **engine_options)
    one = job(
        folder,
        tiny=with_dropout(tiny),
        count=ROWS,
        evaluate=scripted(scores),
        engine=chosen,
        training=training(**{**BASE, **options}),
    )
    if stream is not None:
        one = replace(one, rows=stream)
    fitted = ENGINES[engine]().fit(one, resume_from)
    states = {}
    for place in _places(folder):
        state = json.loads((folder / place / "trainer_state.json").read_text(encoding="utf-8"))
        history = [_without_times(entry) for entry in state.pop("log_history")]
        best = state["best_model_checkpoint"]
        states[place] = {**state, "best_model_checkpoint": best and Path(best).name}
        # Of the Trainer's own callbacks.
        del states[place]["stateful_callbacks"]
        if one.training.save_strategy == "no":
            # The Trainer takes no note of the best step where it saves none.
            del states[place]["best_global_step"]
        if not place:
            whole = history
    weights = dict(fitted.model.state_dict())
    for place in _places(folder):
        saved = load_file(folder / place / "model.safetensors")
        weights |= {f"{place}/{name}": weight for name, weight in saved.items()}
    evaluated = fitted.evaluations and [one.metrics for one in fitted.evaluations]
    return Outcome(
        reported={
            "steps": fitted.steps,
            "epochs": fitted.epochs,
            "evaluated": evaluated,
            "stopped_early": fitted.stopped_early,
        },
        metrics=_without_times(fitted.metrics),
        history=whole,
        states=states,
        files={place: {path.name for path in (folder / place).iterdir()} for place in states},
        weights=weights,
        model=fitted.model,
    )


def _places(folder: Path) -> list[str]:
    return ["", *(one.name for one in checkpoints(folder))]


def _without_times(metrics: dict[str, float]) -> dict[str, float]:
    return {name: 0.0 if name in _RUNTIME else value for name, value in metrics.items()}


def assert_same(mine: Outcome, theirs: Outcome) -> None:
    """The same numbers to 1e-6, the same files, and the same weights."""
    assert mine.reported == theirs.reported
    assert mine.metrics == pytest.approx(theirs.metrics, rel=1e-6)
    assert [entry.keys() for entry in mine.history] == [entry.keys() for entry in theirs.history]
    for one, other in zip(mine.history, theirs.history, strict=True):
        assert one == pytest.approx(other, rel=1e-6, abs=1e-12, nan_ok=True)
    assert mine.states == theirs.states
    assert mine.files == theirs.files
    assert mine.weights.keys() == theirs.weights.keys()
    for name, weight in mine.weights.items():
        assert weight.allclose(theirs.weights[name], rtol=0, atol=1e-6), name
