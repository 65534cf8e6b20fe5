"""Training batches: each rank's share of the global batches, in the sampler's order."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import torch
from accelerate import Accelerator
from datasets import Dataset
from torch.utils.data import DataLoader
from transformers import Seq2SeqTrainingArguments

from summexp.data.sampling import FilledRows, GlobalBatches
from summexp.distributed.ranks import this_world
from summexp.distributed.signals import leave_sigterm_to_parent
from summexp.engines.protocol import TrainingJob

Batch = dict[str, torch.Tensor]
"""A micro-batch: `input_ids`, `attention_mask`, `labels`, …, each of (rows, tokens)."""


class TrainingBatches:
    """Micro-batches of each optimizer step, over all passes through the rows."""

    def __init__(
        self, job: TrainingJob, args: Seq2SeqTrainingArguments, accelerator: Accelerator
    ) -> None:
        """Build the loader of this rank; `accelerator` shards a stream."""
        self._accumulation = args.gradient_accumulation_steps
        self._sampler: GlobalBatches | None = None
        self._loader: Any
        if isinstance(job.rows, Dataset):
            self._sampler = global_batches(job, args)
            self._loader = training_loader(job, args, self._sampler)
            self._batches_a_pass, rows = len(self._sampler), self._sampler.rows_a_pass
        else:
            self._loader = accelerator.prepare(stream_loader(job, args))
            # The length of a stream is unknown: like upstream, count the training as one pass.
            self._batches_a_pass = args.max_steps * self._accumulation
            rows = self._batches_a_pass * args.train_batch_size * this_world().size
        self.steps_a_pass = math.ceil(self._batches_a_pass / self._accumulation)
        """Optimizer steps of a pass."""
        self.steps = math.ceil(args.num_train_epochs * self.steps_a_pass)
        """Optimizer steps of the training."""
        if args.max_steps > 0:
            self.steps = args.max_steps
        self.rows_a_step = rows / self.steps_a_pass
        """Rows of a global batch, on the average of a pass."""
        self.tokens = 0
        """Source tokens of this rank's batches since it was last reset, padding included."""

    def passes(self, done: int) -> Iterator[Iterator[tuple[float, list[Batch]]]]:
        """Yield the steps of each pass that remain after `done` steps.

        A step is the epoch at its end and a list of `gradient_accumulation_steps` micro-batches;
        the last step of a pass may have fewer.
        """
        first, left_out = divmod(done, self.steps_a_pass) if self._sampler else (0, done)
        for number in itertools.count(first):
            # A resumed pass drew its seed before the checkpoint was saved.
            with torch.random.fork_rng(devices=[], enabled=left_out > 0):
                taken = left_out if self._sampler else 0
                steps = self._steps(number, taken)
                # Skipping in a stream means reading it; it may end before.
                while taken < left_out and next(steps, None):
                    taken += 1
            left_out -= taken
            yield self._counted(steps, number, taken)

    def _steps(self, number: int, first: int) -> Iterator[list[Batch]]:
        if self._sampler is not None:
            self._sampler.set_epoch(number, first * self._accumulation)
        else:
            self._loader.set_epoch(number)
        batches = iter(self._loader)
        return iter(lambda: list(itertools.islice(batches, self._accumulation)), [])

    def _counted(
        self, steps: Iterator[list[Batch]], number: int, taken: int
    ) -> Iterator[tuple[float, list[Batch]]]:
        done = taken * self._accumulation
        for micro_batches in steps:
            done += len(micro_batches)
            self.tokens += sum(batch["input_ids"].numel() for batch in micro_batches)
            yield number + done / self._batches_a_pass, micro_batches


def global_batches(job: TrainingJob, args: Seq2SeqTrainingArguments) -> GlobalBatches:
    """Return the sampler of this rank's micro-batches."""
    assert isinstance(job.rows, Dataset)
    return GlobalBatches(
        job.collate.lengths(job.rows),
        rows=args.train_batch_size,
        accumulation=args.gradient_accumulation_steps,
        seed=args.seed if args.data_seed is None else args.data_seed,
        world=this_world(),
        drop_last=args.dataloader_drop_last,
    )


def training_loader(
    job: TrainingJob, args: Seq2SeqTrainingArguments, batches: GlobalBatches
) -> DataLoader[Any]:
    """Return the loader of this rank's micro-batches.

    Do not prepare it with Accelerate, which repeats rows if the last batch is short.
    """
    assert isinstance(job.rows, Dataset)
    loader = EpochLoader(FilledRows(job.rows), batches, _options(job, args))
    if args.device.type == "xla":
        from summexp.engines.xla import ShardingLoader

        return ShardingLoader(loader, args.device)
    return loader


class EpochLoader(DataLoader[Any]):
    """A loader whose epoch can be set, as the Trainer does where a loader has such a method."""

    def __init__(self, rows: FilledRows, batches: GlobalBatches, options: dict[str, Any]) -> None:
        """Load the rows of `batches` with the options of a DataLoader."""
        super().__init__(rows, batch_sampler=batches, **options)
        self._batches = batches

    def set_epoch(self, epoch: int) -> None:
        """Load the batches of an epoch, from 0."""
        self._batches.set_epoch(epoch)


def stream_loader(job: TrainingJob, args: Seq2SeqTrainingArguments) -> DataLoader[Any]:
    """Return the loader of a stream, to be sharded by Accelerate."""
    return DataLoader(job.rows, batch_size=args.train_batch_size, **_options(job, args))


def _options(job: TrainingJob, args: Seq2SeqTrainingArguments) -> dict[str, Any]:
    return {
        "collate_fn": job.collate,
        "num_workers": args.dataloader_num_workers,
        "pin_memory": args.dataloader_pin_memory and args.device.type == "cuda",
        "persistent_workers": args.dataloader_persistent_workers,
        "prefetch_factor": args.dataloader_prefetch_factor,
        "multiprocessing_context": args.dataloader_multiprocessing_context,
        "in_order": args.dataloader_in_order,
        "worker_init_fn": leave_sigterm_to_parent,
    }
