from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests.engines.jobs import job, rows, training, with_dropout
from tests.modeling.tiny_models import DECODER_ONLY, config, make
from torch.nn import functional
from torch.utils.data import DataLoader

from summexp.data.config import DataConfig
from summexp.data.sampling import epoch_order
from summexp.data.tokenize import row_lengths
from summexp.distributed.signals import StopRequest
from summexp.engines.config import EngineConfig
from summexp.engines.registry import build_engine
from summexp.engines.trainer import SummarizationTrainer, TrainerEngine
from summexp.evaluation.evaluate import EvaluationResult
from summexp.evaluation.loss import count_targets, token_loss_sum
from summexp.run_folder.checkpoints import checkpoints, verify

WHOLE = {"per_device_train_batch_size": 16}
SPLIT = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}


def steps_of(folder: Path, **options: Any) -> list[dict[str, float]]:
    """Train, and return what was logged of each step."""
    one = job(folder, **options)
    TrainerEngine().fit(one, None)
    state = json.loads((folder / "trainer_state.json").read_text(encoding="utf-8"))
    return [step for step in state["log_history"] if "loss" in step]


@pytest.mark.parametrize("model_type", ["t5", "bart", "led", *DECODER_ONLY])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_a_split_batch_has_the_loss_and_gradient_of_the_full_batch(
    model_type: str, smoothing: float, tmp_path: Path
) -> None:
    """Two epochs of 42 rows: two whole steps, and one of 10 rows in micro-batches of 4, 4 and 2."""
    logged = [
        steps_of(
            tmp_path / str(number),
            model_type=model_type,
            training=training(num_train_epochs=2, label_smoothing_factor=smoothing, **split),
        )
        for number, split in enumerate((WHOLE, SPLIT))
    ]
    assert len(logged[0]) == len(logged[1]) == 6
    for whole, split in zip(*logged, strict=True):
        assert split["loss"] == pytest.approx(whole["loss"], rel=1e-5)
        assert split["grad_norm"] == pytest.approx(whole["grad_norm"], rel=1e-5)
    assert logged[0][-1]["loss"] < logged[0][0]["loss"]


def test_the_first_loss_is_the_mean_over_the_steps_target_tokens(tmp_path: Path) -> None:
    tiny = make(config("bart"))
    tokens = rows(tiny, 42)
    order = epoch_order(row_lengths(tokens), 16, seed=42, epoch=0)[:16]
    total, count = 0.0, 0
    for number in order.tolist():
        ids = torch.tensor([tokens[number]["input_ids"]])
        labels = torch.tensor([tokens[number]["labels"]])
        with torch.no_grad():
            logits = tiny.model(input_ids=ids, labels=labels).logits
        total += functional.cross_entropy(logits[0], labels[0], reduction="sum").item()
        count += labels.numel()
    (first,) = steps_of(tmp_path, tiny=tiny, training=training(max_steps=1, **SPLIT))
    assert first["loss"] == pytest.approx(total / count, rel=1e-5)


def test_upstreams_loss_is_upstreams(tmp_path: Path) -> None:
    """Accumulating four batches, the Trainer of 5.23 reports the sum of their means for T5."""
    tiny = make(config("t5"))
    upstream = EngineConfig(loss="upstream")
    (step,) = steps_of(
        tmp_path, tiny=tiny, engine=upstream, training=training(max_steps=1, **SPLIT)
    )
    fresh = make(config("t5"))
    tokens = rows(fresh, 42)
    order = epoch_order(row_lengths(tokens), 16, seed=42, epoch=0)[:16].tolist()
    collate = job(tmp_path, tiny=fresh).collate
    means = []
    for start in range(0, 16, 4):
        with torch.no_grad():
            means.append(fresh.model(**collate([tokens[n] for n in order[start : start + 4]])).loss)
    assert step["loss"] == pytest.approx(float(sum(means)), rel=1e-5)


def test_smoothing_is_upstreams_on_a_batch(tmp_path: Path) -> None:
    one = job(tmp_path, training=training(label_smoothing_factor=0.1))
    batch = one.collate([one.rows[number] for number in range(5)])
    trainer = SummarizationTrainer(one, StopRequest())
    ours = trainer.compute_loss(one.model, dict(batch))
    assert trainer.label_smoother is not None
    theirs = trainer.label_smoother(one.model(**batch), batch["labels"])
    assert ours.item() == pytest.approx(theirs.item(), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_padding_to_the_maximum_changes_no_loss(smoothing: float, tmp_path: Path) -> None:
    """With smoothing too, which once spread probability over padding."""
    losses = []
    for padded in (False, True):
        data = DataConfig(pad_to_max_length=padded, max_source_length=40, max_target_length=20)
        options = training(max_steps=3, label_smoothing_factor=smoothing, **SPLIT)
        steps = steps_of(tmp_path / str(padded), data=data, training=options)
        losses.append([step["loss"] for step in steps])
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)


class Recorded:
    """Remembers the rows of each batch."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self.lengths = collate.lengths
        self.batches: list[list[list[int]]] = []

    def __call__(self, batch: list[dict[str, list[int]]]) -> Any:
        self.batches.append([row["input_ids"] for row in batch])
        return self.collate(batch)


def seen(one: Any, resume_from: Path | None = None) -> list[list[list[int]]]:
    guard = Recorded(one.collate)
    object.__setattr__(one, "collate", guard)
    TrainerEngine().fit(one, resume_from)
    return guard.batches


def test_rows_come_in_the_samplers_order_and_resume_in_it(tmp_path: Path) -> None:
    # Three steps an epoch; a checkpoint after the fourth and so within the second epoch.
    options = training(num_train_epochs=3, save_strategy="steps", save_steps=4, **WHOLE)
    one = job(tmp_path, training=options)
    batches = seen(one)
    expected = []
    for epoch in range(3):
        order = epoch_order(row_lengths(one.rows), 16, seed=42, epoch=epoch).tolist()
        expected += [one.rows[order[start : start + 16]]["input_ids"] for start in (0, 16, 32)]
    assert batches == expected
    again = job(tmp_path, training=options)
    resumed = seen(again, tmp_path / "checkpoint-4")
    assert resumed[-5:] == expected[4:]
    for weight, same in zip(one.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(weight, same)


def test_the_loader_is_made_from_the_training_config(tmp_path: Path) -> None:
    options = {
        "num_workers": 2,
        "persistent_workers": True,
        "prefetch_factor": 3,
        "multiprocessing_context": "forkserver",
        "in_order": False,
    }
    given = training(**{f"dataloader_{name}": value for name, value in options.items()})
    one = job(tmp_path, training=given)
    loader = SummarizationTrainer(one, StopRequest()).get_train_dataloader()
    context = loader.multiprocessing_context
    assert context is not None
    assert context.get_start_method() == options.pop("multiprocessing_context")
    assert {name: getattr(loader, name) for name in options} == options


def test_the_data_seed_orders_rows_alone(tmp_path: Path) -> None:
    one = job(tmp_path, training=training(max_steps=1, data_seed=7, **WHOLE))
    order = epoch_order(row_lengths(one.rows), 16, seed=7, epoch=0).tolist()
    assert seen(one)[0] == one.rows[order[:16]]["input_ids"]


def test_the_upstream_sampler_can_be_had(tmp_path: Path) -> None:
    one = job(
        tmp_path, engine=EngineConfig(sampler="upstream"), training=training(max_steps=1, **WHOLE)
    )
    order = epoch_order(row_lengths(one.rows), 16, seed=42, epoch=0).tolist()
    assert seen(one)[0] != one.rows[order[:16]]["input_ids"]


def evaluation(calls: list[int]) -> Any:
    """Two sets whose score is best at the second evaluation."""
    scores = [10.0, 30.0, 20.0]

    def evaluate(*_: Any) -> list[EvaluationResult]:
        calls.append(len(calls))
        score = scores[len(calls) - 1]
        return [
            EvaluationResult({"eval_a_rougeL": score, "eval_a_loss": 1.0}, [], {}),
            EvaluationResult({"eval_b_rougeL": -score}, [], {}),
        ]

    return evaluate


@pytest.mark.parametrize(("best", "kept"), [(False, [9, 6]), (True, [9, 6])])
def test_evaluations_checkpoints_and_the_best_model(
    best: bool, kept: list[int], tmp_path: Path
) -> None:
    calls: list[int] = []
    options = training(
        num_train_epochs=3,
        do_eval=True,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=2,
        load_best_model_at_end=best,
        metric_for_best_model="eval_a_rougeL" if best else None,
        **WHOLE,
    )
    fitted = TrainerEngine().fit(job(tmp_path, training=options, evaluate=evaluation(calls)), None)
    assert len(calls) == 3
    assert fitted.steps == 9
    assert fitted.epochs == 3
    assert [int(path.name.split("-")[1]) for path in checkpoints(tmp_path)] == kept
    assert all(verify(path) is None for path in checkpoints(tmp_path))
    # The last evaluation is of the model at hand only if no better one was loaded.
    assert (fitted.evaluations is None) is best
    state = json.loads((tmp_path / "trainer_state.json").read_text(encoding="utf-8"))
    scores = [line["eval_a_rougeL"] for line in state["log_history"] if "eval_a_rougeL" in line]
    assert scores == [10.0, 30.0, 20.0]
    assert (state["best_metric"] == 30.0) is best


def test_no_evaluation_where_none_is_wanted(tmp_path: Path) -> None:
    calls: list[int] = []
    options = training(max_steps=3, eval_strategy="epoch", do_eval=False, **WHOLE)
    fitted = TrainerEngine().fit(job(tmp_path, training=options, evaluate=evaluation(calls)), None)
    assert calls == []
    assert fitted.evaluations is None


def test_half_written_checkpoints_are_replaced(tmp_path: Path) -> None:
    stale = tmp_path / "checkpoint-3"
    stale.mkdir()
    (stale / "adapter_model.bin").write_bytes(b"half")
    options = training(max_steps=3, save_strategy="steps", save_steps=3, **WHOLE)
    TrainerEngine().fit(job(tmp_path, training=options), None)
    assert not (stale / "adapter_model.bin").exists()
    assert verify(stale) is None


def test_bfloat16_on_a_cpu(tmp_path: Path) -> None:
    full = steps_of(tmp_path / "full", training=training(max_steps=3, **WHOLE))
    half = steps_of(tmp_path / "half", training=training(max_steps=3, bf16=True, **WHOLE))
    for exact, rough in zip(full, half, strict=True):
        assert rough["loss"] == pytest.approx(exact["loss"], rel=0.02)
        assert rough["loss"] != exact["loss"]


@pytest.mark.parametrize("engine", ["trainer", "accelerate"])
@pytest.mark.parametrize("part", ["encoder", "embeddings"])
def test_what_is_frozen_stays_as_it_was(part: str, engine: str, tmp_path: Path) -> None:
    """Weight decay, which asks no gradient, does not move it either."""
    tiny = make(config("bart", freeze=[part]))
    before = {name: weight.clone() for name, weight in tiny.model.named_parameters()}
    options = training(max_steps=3, weight_decay=0.1, **WHOLE)
    one = job(tmp_path, tiny=tiny, engine=EngineConfig(name=engine), training=options)
    build_engine(one.engine).fit(one, None)
    after = load_file(tmp_path / "model.safetensors")
    frozen = {name for name, weight in tiny.model.named_parameters() if not weight.requires_grad}
    assert frozen
    changed = {name for name in before if not before[name].equal(after.get(name, before[name]))}
    assert not changed & frozen
    assert "model.decoder.layers.0.fc1.weight" in changed


def test_what_came_before_does_not_move_the_random_numbers(tmp_path: Path) -> None:
    def losses(before: int) -> list[float]:
        tiny = make(config("t5"))
        for module in tiny.model.modules():
            if isinstance(module, torch.nn.Dropout):
                module.p = 0.3
        torch.rand(before)
        folder = tmp_path / str(before)
        return [step["loss"] for step in steps_of(folder, tiny=tiny, training=training(**WHOLE))]

    assert losses(1) == losses(1000)


def test_loss_without_a_count_is_the_mean_of_the_batch(tmp_path: Path) -> None:
    one = job(tmp_path, training=training())
    batch = one.collate([one.rows[number] for number in range(5)])
    inputs = {name: value for name, value in batch.items() if name != "labels"}
    logits = one.model(**inputs).logits
    expected = token_loss_sum(logits, batch["labels"]) / count_targets(batch["labels"])
    loss, _ = SummarizationTrainer(one, StopRequest()).compute_loss(
        one.model, dict(batch), return_outputs=True
    )
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)


def test_upstreams_loss_is_smoothed_too(tmp_path: Path) -> None:
    options = training(max_steps=1, label_smoothing_factor=0.1, **WHOLE)
    (ours,), (theirs,) = (
        steps_of(tmp_path / loss, engine=EngineConfig(loss=loss), training=options)
        for loss in ("token_mean", "upstream")
    )
    assert theirs["loss"] == pytest.approx(ours["loss"], rel=1e-5)


@pytest.mark.parametrize(("sampler", "is_moved"), [("length_grouped", False), ("upstream", True)])
def test_an_evaluation_moves_the_random_numbers_as_upstreams_does_alone(
    sampler: str, is_moved: bool, tmp_path: Path
) -> None:
    """Upstream's reads its rows with a DataLoader, which draws a seed at its beginning."""

    def losses(strategy: str, evaluate: Any) -> list[float]:
        options = training(num_train_epochs=2, do_eval=True, eval_strategy=strategy, **WHOLE)
        steps = steps_of(
            tmp_path / f"{strategy}-{len(list(tmp_path.iterdir()))}",
            tiny=with_dropout(make(config("t5")), 0.3),
            engine=EngineConfig(sampler=sampler),
            training=options,
            evaluate=evaluate,
        )
        return [step["loss"] for step in steps]

    def as_upstream(*_: Any) -> list[EvaluationResult]:
        if is_moved:
            next(iter(DataLoader([0])))
        return []

    without = losses("no", evaluation([]))
    one_set = losses("epoch", lambda *_: [EvaluationResult({"eval_loss": 1.0}, [], {})])
    assert one_set[:3] == without[:3]
    assert (one_set[3:] != without[3:]) is is_moved
    assert one_set == losses("epoch", as_upstream)
