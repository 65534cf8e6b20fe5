"""The loop in plain sight has the Trainer's numbers, resumes where it was, and ends in time."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import IterableDataset
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.engines.jobs import job, logged, rows, same_weights, training, with_dropout
from tests.engines.outcomes import ENGINES, ROWS, SCORES, Outcome, assert_same, fit, scripted
from tests.evaluation.test_evaluate import evaluation_set, settings
from tests.modeling.tiny_models import DECODER_ONLY, Tiny, config, make

from summexp.config.run import TrackingConfig
from summexp.data.collate import build_collator
from summexp.data.config import DataConfig
from summexp.engines import accelerate
from summexp.evaluation.evaluate import evaluate

CONTENTS = ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json")


def loud(model_type: str) -> Tiny:
    """A tiny model that says something else of each document."""
    tiny = make(config(model_type))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in tiny.model.parameters():
            weight.add_(torch.randn_like(weight))
    return tiny


@pytest.mark.parametrize("model_type", ["t5", "bart", *DECODER_ONLY])
@pytest.mark.parametrize("split", [(16, 1), (4, 4)])
def test_it_has_the_numbers_and_texts_of_the_trainer(
    model_type: str, split: tuple[int, int], tmp_path: Path
) -> None:
    """Two epochs of 42 rows: two whole steps, and one of 10 rows, in micro-batches of 4, 4, 2."""
    tiny = loud(model_type)
    collate = build_collator(tiny.tokenizer, tiny.model, DataConfig())
    predictions: dict[str, list[list[str]]] = {name: [] for name in ENGINES}
    models = []
    for name, engine in ENGINES.items():

        def evaluated(model: Any, _: Any, predictions: list[list[str]] = predictions[name]) -> Any:
            found = evaluate(model, tiny.tokenizer, collate, evaluation_set(tiny), settings(tiny))
            predictions.append(found.predictions)
            return [found]

        folder = tmp_path / name
        folder.mkdir()
        options = training(
            num_train_epochs=2,
            per_device_train_batch_size=split[0],
            gradient_accumulation_steps=split[1],
            warmup_steps=2,
            weight_decay=0.1,
            max_grad_norm=0.5,
            do_eval=True,
            eval_strategy="epoch",
            save_strategy="epoch",
        )
        one = job(folder, tiny=with_dropout(tiny), evaluate=evaluated, training=options)
        models.append(engine().fit(one, None).model)
    theirs, mine = (logged(tmp_path / name) for name in ENGINES)
    assert [entry.keys() for entry in mine] == [entry.keys() for entry in theirs]
    steps = [(one, other) for one, other in zip(mine, theirs, strict=True) if "loss" in one]
    assert len(steps) == 6
    for one_step, other in steps:
        assert one_step == pytest.approx(other, rel=1e-6, abs=1e-9)
    for name, weight in models[0].named_parameters():
        assert weight.allclose(models[1].get_parameter(name), rtol=0, atol=1e-6), name
    assert predictions["accelerate"] == predictions["trainer"]
    assert len(set(predictions["accelerate"][-1])) > 1


@pytest.mark.parametrize("model_type", ["t5", "bart", "gpt2"])
def test_it_leaves_the_files_of_the_trainer(model_type: str, tmp_path: Path) -> None:
    tiny = make(config(model_type))
    options = {"max_steps": 2, "save_strategy": "steps", "save_steps": 1}
    for name in ENGINES:
        fit(name, tmp_path / name, tiny, options)
    for place in ("", "checkpoint-1", "checkpoint-2"):
        for file in CONTENTS:
            texts = [(tmp_path / name / place / file).read_text() for name in ENGINES]
            assert texts[0] == texts[1], f"{place}/{file}"


RESUMING: dict[str, Any] = {
    "num_train_epochs": 3,
    "per_device_train_batch_size": 2,
    "gradient_accumulation_steps": 2,
    "warmup_steps": 2,
    "weight_decay": 0.1,
    "save_strategy": "steps",
    "save_steps": 1,
    "eval_strategy": "steps",
    "eval_steps": 2,
    "metric_for_best_model": "loss",
}
"""Three steps an epoch, the last of one micro-batch."""


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    return make(config("t5"))


@pytest.fixture(scope="module")
def unbroken(
    tiny: Tiny, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, tuple[Path, Outcome]]:
    folder = tmp_path_factory.mktemp("unbroken")
    return {name: (folder / name, fit(name, folder / name, tiny, RESUMING)) for name in ENGINES}


@pytest.mark.parametrize("step", [4, 3], ids=["in an epoch", "at its end"])
@pytest.mark.parametrize("then", ENGINES)
@pytest.mark.parametrize("first", ENGINES)
def test_it_resumes_bit_for_bit_whichever_engine_it_was(
    first: str,
    then: str,
    step: int,
    tiny: Tiny,
    unbroken: dict[str, tuple[Path, Outcome]],
    tmp_path: Path,
) -> None:
    folder, whole = unbroken[first]
    scores = SCORES[step // 2 :]
    # Other weights than those that the first part began with.
    other = with_dropout(tiny)
    with torch.no_grad():
        for weight in other.model.parameters():
            weight.add_(1.0)
    rest = fit(
        then,
        tmp_path / "rest",
        other,
        RESUMING,
        resume_from=folder / f"checkpoint-{step}",
        scores=scores,
    )
    assert same_weights(rest.model, whole.model)
    assert rest.history[:-1] == whole.history[:-1]
    # The last entry sums up the part that was trained now; its work is counted on.
    assert rest.history[-1]["total_flos"] == whole.history[-1]["total_flos"]
    losses = [entry["loss"] for entry in whole.history[step:] if "loss" in entry]
    assert rest.metrics["train_loss"] == pytest.approx(sum(losses[step - 9 :]) / (9 - step))
    assert (rest.reported["steps"], rest.reported["epochs"]) == (9, 3)
    for name in ("best_metric", "best_global_step", "total_flos"):
        assert rest.states[""][name] == whole.states[""][name], name


def test_what_is_trained_is_not_trained_again(
    tiny: Tiny, unbroken: dict[str, tuple[Path, Outcome]], tmp_path: Path
) -> None:
    folder, whole = unbroken["accelerate"]
    rest = fit(
        "accelerate", tmp_path / "rest", tiny, RESUMING, resume_from=folder / "checkpoint-9",
        scores=(),
    )  # fmt: skip
    assert same_weights(rest.model, whole.model)
    assert rest.reported["steps"] == 9
    assert rest.history[:-1] == whole.history[:-1]


@pytest.mark.parametrize(
    "change",
    [
        {"num_train_epochs": 4},
        {"max_steps": 11},
        {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 1},
        {"per_device_train_batch_size": 1, "gradient_accumulation_steps": 4},
        {"learning_rate": 1.0},
    ],
)
def test_it_resumes_otherwise_as_the_trainer_does(
    change: dict[str, Any],
    tiny: Tiny,
    unbroken: dict[str, tuple[Path, Outcome]],
    tmp_path: Path,
) -> None:
    checkpoint = unbroken["trainer"][0] / "checkpoint-4"
    options = {**RESUMING, **change}
    outcomes = [
        fit(name, tmp_path / name, tiny, options, resume_from=checkpoint, scores=SCORES[2:])
        for name in ENGINES
    ]
    # The Trainer remembers the size that the run began with, and does nothing with it.
    for state in chain.from_iterable(one.states.values() for one in outcomes):
        del state["train_batch_size"]
    assert_same(*outcomes)


def test_trackers_get_what_they_get_from_the_trainer(tiny: Tiny, tmp_path: Path) -> None:
    curves = []
    for name, engine in ENGINES.items():
        folder = tmp_path / name
        folder.mkdir()
        options = training(
            max_steps=4,
            per_device_train_batch_size=4,
            do_eval=True,
            eval_strategy="steps",
            eval_steps=2,
        )
        one = job(
            folder,
            tiny=with_dropout(tiny),
            count=ROWS,
            evaluate=scripted(),
            training=options,
            tracking=TrackingConfig(trackers=["tensorboard"]),
        )
        engine().fit(one, None)
        (file,) = folder.rglob("events.out.*")
        reported = EventAccumulator(str(file)).Reload()
        names = [
            tag for tag in reported.Tags()["scalars"] if not tag.endswith(("runtime", "second"))
        ]
        curves.append(
            {tag: [(one.step, one.value) for one in reported.Scalars(tag)] for tag in names}
            | {tag: [] for tag in reported.Tags()["tensors"]}
        )
    assert curves[0] == curves[1]
    assert [step for step, _ in curves[1]["train/loss"]] == [1, 2, 3, 4]
    assert curves[1]["eval/loss"] == [(2, 4.0), (4, 2.0)]


def stream(tiny: Tiny) -> IterableDataset:
    return rows(tiny, ROWS).to_iterable_dataset(num_shards=2).shuffle(seed=1, buffer_size=4)


STREAMED: dict[str, Any] = {
    **RESUMING,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "max_steps": 8,
    "eval_strategy": "no",
    "metric_for_best_model": None,
}
"""Three steps a pass: the stream ends twice."""


@pytest.fixture(scope="module")
def streamed(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    folder = tmp_path_factory.mktemp("streamed") / "run"
    return folder, fit("accelerate", folder, tiny, STREAMED, stream=stream(tiny))


def test_a_stream_has_the_numbers_of_the_trainer(
    tiny: Tiny, streamed: tuple[Path, Outcome], tmp_path: Path
) -> None:
    theirs = fit("trainer", tmp_path / "run", tiny, STREAMED, stream=stream(tiny))
    mine = streamed[1]
    # Nobody knows how many passes it takes.
    for state in (*mine.states.values(), *theirs.states.values()):
        del state["num_train_epochs"]
    assert_same(mine, theirs)


@pytest.mark.parametrize("step", [2, 3, 5, 6, 7])
def test_a_stream_resumes_bit_for_bit_in_any_pass(
    step: int, tiny: Tiny, streamed: tuple[Path, Outcome], tmp_path: Path
) -> None:
    folder, whole = streamed
    rest = fit(
        "accelerate",
        tmp_path / "rest",
        tiny,
        STREAMED,
        resume_from=folder / f"checkpoint-{step}",
        stream=stream(tiny),
    )
    assert rest.history[:-1] == whole.history[:-1]
    assert same_weights(rest.model, whole.model)


EACH_STEP: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 1, "save_strategy": "steps",
                             "save_steps": 1, "num_train_epochs": 3}  # fmt: skip


@pytest.mark.parametrize(
    ("scores", "options", "stopping", "steps"),
    [
        ((4, 3, 2, 1, 0.5, 0.4, 0.3, 0.2, 0.1), {}, {"patience": 1}, 9),
        ((4, 3, 5, 2), {}, {"patience": 1}, 3),
        ((4, 3, 5, 2, 2, 3, 1), {}, {"patience": 2}, 6),
        ((4, 2, 3, 2.5, 1), {}, {"patience": 2}, 4),
        ((4, 3.5, 3.1, 2.9, 2.8), {}, {"patience": 2, "threshold": 0.5}, 3),
        ((4, 3.5, 3.1, 2.5, 2.2, 2.1, 2), {}, {"patience": 3, "threshold": 0.5}, 7),
        ((4, 5, 6, 5, 4), {"greater_is_better": True}, {"patience": 2}, 5),
        ((4, 5, 6, 7), {"metric_for_best_model": "rougeL"}, {"patience": 2}, 3),
        ((9, 4, 5, 3), {"eval_on_start": True}, {"patience": 1}, 2),
    ],
)
def test_it_ends_early_where_nothing_is_gained(
    scores: Sequence[float],
    options: dict[str, Any],
    stopping: dict[str, Any],
    steps: int,
    tiny: Tiny,
    tmp_path: Path,
) -> None:
    engine = {f"early_stopping_{name}": value for name, value in stopping.items()}
    outcomes = [
        fit(name, tmp_path / name, tiny, {**EACH_STEP, **options}, scores=scores, **engine)
        for name in ENGINES
    ]
    assert_same(*outcomes)
    assert outcomes[1].reported["steps"] == steps
    assert outcomes[1].reported["stopped_early"] is (steps < 9)
    # What it ends with is saved, as any other step is.
    assert f"checkpoint-{steps}" in outcomes[1].states


@pytest.mark.parametrize("strategy", ["epoch", "steps"])
def test_it_ends_early_with_the_best_model(strategy: str, tiny: Tiny, tmp_path: Path) -> None:
    options = {
        "num_train_epochs": 4,
        "eval_strategy": strategy,
        "eval_steps": 3,
        "save_strategy": strategy,
        "save_steps": 3,
        "load_best_model_at_end": True,
    }
    outcomes = [
        fit(name, tmp_path / name, tiny, options, early_stopping_patience=2, scores=(4, 2, 3, 2))
        for name in ENGINES
    ]
    assert_same(*outcomes)
    assert outcomes[1].reported["steps"] == 12
    best = {name: w for name, w in outcomes[1].weights.items() if name.startswith("checkpoint-6/")}
    assert best
    for name, weight in best.items():
        assert weight.equal(outcomes[1].weights[name.replace("checkpoint-6", "")])


@pytest.mark.parametrize("then", ENGINES)
@pytest.mark.parametrize("on_start", [False, True])
def test_what_resumes_counts_on(on_start: bool, then: str, tiny: Tiny, tmp_path: Path) -> None:
    """Upstream's own callback would begin to count anew."""
    first = {**EACH_STEP, "max_steps": 3}
    fit("accelerate", tmp_path, tiny, first, scores=(4, 2, 3), early_stopping_patience=3)
    # What resumes has no start to be evaluated at, though the Trainer (5.23) takes it for one.
    scores = [2.5, 2.2, 1]
    options = {**EACH_STEP, "eval_on_start": on_start}
    rest = fit(
        then,
        tmp_path,
        tiny,
        options,
        resume_from=tmp_path / "checkpoint-3",
        scores=scores,
        early_stopping_patience=3,
    )
    assert rest.reported["steps"] == 5
    assert rest.reported["stopped_early"]


def test_more_patience_resumes(tiny: Tiny, tmp_path: Path) -> None:
    first = fit("accelerate", tmp_path, tiny, EACH_STEP, scores=(4, 5), early_stopping_patience=1)
    assert first.reported["stopped_early"]
    rest = fit(
        "accelerate",
        tmp_path,
        tiny,
        EACH_STEP,
        resume_from=tmp_path / "checkpoint-2",
        scores=(6, 7),
        early_stopping_patience=3,
    )
    assert rest.reported["steps"] == 4


def test_the_loop_is_short_and_its_own() -> None:
    source = inspect.getsource(accelerate)
    assert len(source.splitlines()) <= 250
    words = {node.id for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Name)}
    words |= {
        word
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.ImportFrom | ast.Import)
        for word in (getattr(node, "module", None), *(name.name for name in node.names))
    }
    assert "get_scheduler" in words
    assert not words & {"Trainer", "Seq2SeqTrainer", "transformers.trainer", "SummarizationTrainer"}
