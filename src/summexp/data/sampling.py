"""The order of the training rows: like lengths together, the same for every split of a batch."""

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
"""(rows,) tokens of each row's document, and of its summary where the two are one text."""

FILLER = -1
"""Number of the row that stands in where a rank has none left."""
_POOL = 50
"""Global batches among which rows are sorted by length: large enough to save padding, small enough
that an epoch's batches still differ from the last one's."""


def epoch_order(
    lengths: Lengths, global_batch: int, seed: int, epoch: int
) -> npt.NDArray[np.int64]:
    """Return the order of one epoch: a pure function of its arguments.

    The rows are shuffled, sorted by length within pools of 50 global batches, cut into global
    batches, and the batches are shuffled; the last one, which may be short, stays last. As the unit
    is the *global* batch, any split of it into devices and accumulation steps sees the same rows in
    each step.

    Args:
        lengths: (rows,) tokens of each row.
        global_batch: rows of one optimizer step, over all devices and accumulation steps.
        seed: of the run.
        epoch: counted from 0.

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
    whole = len(rows) // global_batch * global_batch
    batches = ordered[:whole].reshape(-1, global_batch)
    return np.concatenate([batches[rng.permutation(len(batches))].ravel(), ordered[whole:]])


class GlobalBatches(Sampler[list[int]]):
    """Yields one rank's micro-batches of `epoch_order` for the epoch that `set_epoch` named last.

    All ranks' n-th micro-batches together are the next rows of the order, so that each optimizer
    step sees the same global batch for every split into ranks and accumulation steps. In the last
    step of an epoch a rank may have no row left; it then gets a `FILLER`.
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
        """Describe the batches.

        Args:
            lengths: (rows,) tokens of each row.
            rows: of a micro-batch.
            accumulation: micro-batches of an optimizer step on each rank.
            seed: of the run.
            world: which rank of how many.
            drop_last: leave out the last global batch of an epoch where it is not full, unless
                there is no other.
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
        """Say which epoch the next pass is, and at which micro-batch it begins; both from 0."""
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
    """Tokenized rows, and under `FILLER` one that has no part in the loss."""

    def __init__(self, rows: datasets.Dataset) -> None:
        """Wrap `rows`, each with `input_ids` and `labels`."""
        self._rows = rows

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, number: int) -> dict[str, list[int]]:
        if number == FILLER:
            return {"input_ids": list(self._rows[0]["input_ids"][:1]), "labels": [IGNORED]}
        return dict(self._rows[number])
