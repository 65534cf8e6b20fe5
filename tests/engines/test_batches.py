from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from accelerate import Accelerator
from datasets import Dataset
from tests.engines.jobs import job, rows, training
from tests.modeling.tiny_models import Tiny, config, make

from summexp.data.sampling import epoch_order
from summexp.data.tokenize import row_lengths
from summexp.distributed.signals import StopRequest
from summexp.engines import batches
from summexp.engines.batches import TrainingBatches
from summexp.engines.protocol import TrainingJob
from summexp.engines.trainer import SummarizationTrainer
from summexp.engines.trainer_arguments import job_arguments

ROWS = 11
SPLIT = {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3}
"""Two steps a pass: three micro-batches of two rows, and three of 2, 2 and 1."""


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    return make(config("t5"))


def plain(examples: list[dict[str, Any]]) -> Any:
    """A batch that shows which rows are in it."""
    longest = max(len(row["input_ids"]) for row in examples)
    padded = [row["input_ids"] + [0] * (longest - len(row["input_ids"])) for row in examples]
    return {"input_ids": torch.tensor(padded), "rows": [row["input_ids"] for row in examples]}


plain.lengths = row_lengths  # type: ignore[attr-defined]


def batches_of(one: TrainingJob) -> TrainingBatches:
    args = job_arguments(one)
    return TrainingBatches(replace(one, collate=plain), args, Accelerator(cpu=True))


Steps = list[tuple[float, list[list[list[int]]]]]


def taken(mine: TrainingBatches, done: int, count: int) -> list[Steps]:
    """The steps of the next passes: the epochs that are over, and the rows of each micro-batch."""
    return [
        [(epoch, [batch["rows"] for batch in micro]) for epoch, micro in steps]
        for steps in itertools.islice(mine.passes(done), count)
    ]


def in_order(tokens: Dataset, number: int, **options: Any) -> list[list[list[int]]]:
    order = epoch_order(row_lengths(tokens), 6, seed=42, epoch=number).tolist()
    order = order[: options.get("rows", len(order))]
    return [tokens[order[start : start + 2]]["input_ids"] for start in range(0, len(order), 2)]


def test_a_pass_is_the_samplers_order_in_steps(tiny: Tiny, tmp_path: Path) -> None:
    one = job(tmp_path, tiny=tiny, count=ROWS, training=training(**SPLIT))
    mine = batches_of(one)
    assert mine.steps_a_pass == 2
    assert mine.rows_a_step == 5.5
    for number, steps in enumerate(taken(mine, 0, 3)):
        micro = in_order(one.rows, number)
        assert steps == [(number + 0.5, micro[:3]), (number + 1, micro[3:])]


def test_the_tokens_are_counted_with_their_padding(tiny: Tiny, tmp_path: Path) -> None:
    one = job(tmp_path, tiny=tiny, count=ROWS, training=training(**SPLIT))
    mine = batches_of(one)
    taken(mine, 0, 1)
    micro = in_order(one.rows, 0)
    assert mine.tokens == sum(len(rows) * max(map(len, rows)) for rows in micro)


@pytest.mark.parametrize("done", range(6))
def test_what_is_left_after_some_steps(done: int, tiny: Tiny, tmp_path: Path) -> None:
    one = job(tmp_path, tiny=tiny, count=ROWS, training=training(**SPLIT))
    whole = [step for steps in taken(batches_of(one), 0, 4) for step in steps]
    left = taken(batches_of(one), done, 4 - done // 2)
    assert [step for steps in left for step in steps] == whole[done:]


def test_the_last_global_batch_may_be_left_out(tiny: Tiny, tmp_path: Path) -> None:
    options = training(dataloader_drop_last=True, **SPLIT)
    one = job(tmp_path, tiny=tiny, count=ROWS, training=options)
    mine = batches_of(one)
    assert (mine.steps_a_pass, mine.rows_a_step) == (1, 6)
    assert taken(mine, 1, 1) == [[(2.0, in_order(one.rows, 1, rows=6))]]


@pytest.mark.parametrize("done", [0, 1, 2])
def test_a_pass_that_resumes_draws_no_random_number(done: int, tiny: Tiny, tmp_path: Path) -> None:
    """The loader draws its seed as a pass begins, and did so before the checkpoint."""
    one = job(tmp_path, tiny=tiny, count=ROWS, training=training(**SPLIT))
    torch.manual_seed(0)
    before = torch.get_rng_state()
    next(next(batches_of(one).passes(done)))
    assert torch.get_rng_state().equal(before) is (done == 1)


def streamed(tiny: Tiny, folder: Path, *, max_steps: int = 9, **options: Any) -> TrainingBatches:
    stream = rows(tiny, ROWS).to_iterable_dataset(num_shards=2).shuffle(seed=1, buffer_size=4)
    chosen = training(max_steps=max_steps, **SPLIT, **options)
    return batches_of(replace(job(folder, tiny=tiny, training=chosen), rows=stream))


def test_a_stream_begins_again_in_another_order(tiny: Tiny, tmp_path: Path) -> None:
    mine = streamed(tiny, tmp_path)
    assert mine.steps_a_pass == 9
    assert mine.rows_a_step == 6
    passes = taken(mine, 0, 3)
    # All of the training counts as a pass, of 27 micro-batches; upstream has it so.
    assert [[epoch for epoch, _ in steps] for steps in passes] == [
        [number + 3 / 27, number + 6 / 27] for number in range(3)
    ]
    orders = [[row for _, micro in steps for batch in micro for row in batch] for steps in passes]
    expected = sorted(rows(tiny, ROWS)["input_ids"])
    assert [sorted(order) for order in orders] == [expected] * 3
    assert orders[0] != orders[1] != orders[2]


@pytest.mark.parametrize("done", range(6))
def test_a_stream_is_skipped_as_far_as_it_was_read(done: int, tiny: Tiny, tmp_path: Path) -> None:
    whole = [step for steps in taken(streamed(tiny, tmp_path), 0, 4) for step in steps]
    left = [step for steps in taken(streamed(tiny, tmp_path), done, 4) for step in steps]
    assert left == whole[done:]


@pytest.mark.parametrize("done", [1, 3])
def test_what_a_stream_was_read_for_draws_no_random_number(
    done: int, tiny: Tiny, tmp_path: Path
) -> None:
    mine = streamed(tiny, tmp_path)
    torch.manual_seed(0)
    before = torch.get_rng_state()
    steps = next(steps for steps in mine.passes(done) if next(steps, None))
    assert torch.get_rng_state().equal(before)
    assert steps is not None


def test_both_engines_make_the_loader_from_the_training_config(tiny: Tiny, tmp_path: Path) -> None:
    options = {
        "num_workers": 2,
        "persistent_workers": True,
        "prefetch_factor": 3,
        "in_order": False,
    }
    given = {f"dataloader_{name}": value for name, value in options.items()}
    given["dataloader_multiprocessing_context"] = "forkserver"
    one = job(tmp_path, tiny=tiny, count=ROWS, training=training(**given, **SPLIT))
    args = job_arguments(one)
    mine: Any = TrainingBatches(one, args, Accelerator(cpu=True))._loader
    theirs = SummarizationTrainer(one, StopRequest()).get_train_dataloader()
    stream = replace(one, rows=rows(tiny, ROWS).to_iterable_dataset(num_shards=2))
    streams: Any = TrainingBatches(
        replace(stream, training=training(max_steps=2, **given)),
        args,
        Accelerator(cpu=True),
    )._loader
    for loader in (mine, theirs, streams):
        assert {name: getattr(loader, name) for name in options} == options
        assert loader.multiprocessing_context.get_start_method() == "forkserver"


@pytest.mark.parametrize("wanted", [True, False])
def test_memory_is_pinned_for_a_gpu_alone(wanted: bool, tiny: Tiny, tmp_path: Path) -> None:
    given = training(dataloader_pin_memory=wanted, **SPLIT)
    one = job(tmp_path, tiny=tiny, count=ROWS, training=given)
    args: Any = MagicMock(wraps=job_arguments(one), dataloader_pin_memory=wanted)
    for device, pinned in (("cpu", False), ("cuda", wanted)):
        args.device = torch.device(device)
        assert batches._options(one, args)["pin_memory"] is pinned
