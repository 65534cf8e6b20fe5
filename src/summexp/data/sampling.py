"""The order of the training rows: like lengths together, the same for every split of a batch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
from torch.utils.data import Sampler

Lengths: TypeAlias = Sequence[int] | npt.NDArray[np.int64]
"""(rows,) tokens of each row's document."""

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
        lengths: (rows,) tokens of each row's document.
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


class LengthGroupedSampler(Sampler[int]):
    """Yields `epoch_order` for the epoch that `set_epoch` named last."""

    def __init__(self, lengths: Lengths, global_batch: int, seed: int) -> None:
        """Take the rows' lengths in tokens, the rows of one optimizer step, and the run's seed."""
        self.lengths = np.asarray(lengths)
        self.global_batch = global_batch
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Say which epoch, counted from 0, the next pass is."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        yield from epoch_order(self.lengths, self.global_batch, self.seed, self.epoch).tolist()
