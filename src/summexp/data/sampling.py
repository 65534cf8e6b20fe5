"""Sampler of training rows: batches of similar lengths, independent of the number of devices."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import datasets
import numpy as np
import numpy.typing as npt
from torch.utils.data import Dataset, Sampler

from summexp.data.collate import IGNORED
from summexp.distributed.world import World

Lengths: TypeAlias = Sequence[int] | npt.NDArray[np.int64]
"""(rows,) tokens of each row's document, plus its summary for a decoder-only model."""

FILLER = -1
"""Row number of a filler, for a rank without rows left."""
_POOL = 50
"""Size, in global batches, of the pools in which rows are sorted by length: large enough to save
padding, small enough for different batches in each epoch."""


def epoch_order(
    lengths: Lengths, global_batch: int, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Return the order of one epoch: a pure function of its arguments.

    The rows are shuffled, sorted by length within pools of 50 global batches and divided into
    global batches, which are shuffled; the last one, which may be short, stays last. Since the unit
    is the *global* batch, each step has the same rows for any number of devices and accumulation
    steps.

    Args:
        lengths: (rows,) tokens of each row.
        global_batch: rows of one optimizer step, over all devices and accumulation steps.
        seed: seed of the run.
        epoch: number of the epoch, from 0.

    Returns:
        (rows,) row numbers, each once.
    """
    sizes = np.asarray(lengths)
    rng = np.random.Generator(np.random.PCG64([seed, epoch]))
    rows = rng.permutation(len(sizes))
    pool = _POOL * global_batch
    pools = [rows[start : start + pool] for start in range(0, len(rows), pool)]
    ordered = np.concatenate(
        [one[np.argsort(-sizes[one], kind="stable")] for one in pools] or [rows]
    )
    full = len(rows) // global_batch * global_batch
    batches = ordered[:full].reshape(-1, global_batch)
    return np.concatenate([batches[rng.permutation(len(batches))].ravel(), ordered[full:]])


class GlobalBatches(Sampler[list[int]]):
    """Batch sampler of one rank: its micro-batches of `epoch_order` for the current epoch.

    The n-th micro-batches of all ranks together are consecutive rows of the order, so that an
    optimizer step has the same global batch for any number of ranks and accumulation steps. In the
    last step of an epoch, a rank without rows left gets a `FILLER`.
    """

    def __init__(
        self,
        lengths: Lengths,
        *,
        rows: int,
        accumulation: int,
        seed: int,
        world: World | None = None,
        drop_last: bool = False,
    ) -> None:
        """Create the sampler.

        Args:
            lengths: (rows,) tokens of each row.
            rows: rows of a micro-batch.
            accumulation: micro-batches per optimizer step on each rank.
            seed: seed of the run.
            world: rank and world size.
            drop_last: whether to drop the last global batch of an epoch if it is not full, unless
                it is the only one.
        """
        self.lengths = np.asarray(lengths)
        self.rows = rows
        self.seed = seed
        self.epoch = 0
        self._first = 0
        self.world = World() if world is None else world
        self.global_batch = rows * accumulation * self.world.size
        count = len(self.lengths)
        full = count // self.global_batch * self.global_batch
        self.rows_a_pass = full if drop_last and full else count

    def set_epoch(self, epoch: int, first: int = 0) -> None:
        """Set the epoch of the next iteration, and its first micro-batch; both from 0."""
        self.epoch = epoch
        self._first = first

    def __len__(self) -> int:
        return -(-self.rows_a_pass // (self.rows * self.world.size))

    def __iter__(self) -> Iterator[list[int]]:
        order = epoch_order(self.lengths, self.global_batch, self.seed, self.epoch)[
            : self.rows_a_pass
        ]
        each = self.rows * self.world.size
        for start in range(self._first * each, len(order), each):
            first = start + self.rows * self.world.rank
            yield order[first : first + self.rows].tolist() or [FILLER]


class FilledRows(Dataset[dict[str, list[int]]]):
    """Tokenized rows, plus a filler row that does not count in the loss, under `FILLER`."""

    def __init__(self, rows: datasets.Dataset) -> None:
        """Wrap `rows`, each with `input_ids` and `labels`."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        if number == FILLER:
            return {"input_ids": list(self._rows[0]["input_ids"][:1]), "labels": [IGNORED]}
        return dict(self._rows[number])
