from __future__ import annotations

from itertools import chain

import numpy as np
import pytest

from summexp.data.sampling import FILLER, GlobalBatches, epoch_order
from summexp.distributed.world import World

LENGTHS = np.random.default_rng(0).lognormal(5, 1, size=1003).astype(int)
"""Skewed like real documents; the last global batch of 16 has 11 rows."""


def padding(order: np.ndarray, rows: int) -> int:
    """Tokens of padding in batches of `rows`."""
    batches = [LENGTHS[order[start : start + rows]] for start in range(0, len(order), rows)]
    return sum(int(batch.max() * len(batch) - batch.sum()) for batch in batches)


def test_it_is_a_pure_function() -> None:
    np.random.seed(1)
    first = epoch_order(LENGTHS, 16, seed=1, epoch=3)
    np.random.seed(2)
    np.random.rand(10)
    assert np.array_equal(first, epoch_order(list(LENGTHS), 16, seed=1, epoch=3))


def test_the_order_is_pinned() -> None:
    # A resumed run must see the order that the version before it made.
    order = epoch_order([5, 1, 4, 2, 3, 9, 7], 2, seed=42, epoch=1)
    assert order.tolist() == [0, 2, 5, 6, 4, 3, 1]


@pytest.mark.parametrize("rows", [1, 2, 16, 1003, 5000])
def test_each_row_comes_once(rows: int) -> None:
    assert sorted(epoch_order(LENGTHS, rows, 0, 0)) == list(range(1003))


def test_no_rows() -> None:
    assert len(epoch_order([], 4, 0, 0)) == 0


def test_epochs_and_seeds_differ() -> None:
    orders = [epoch_order(LENGTHS, 16, seed, epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    for number, one in enumerate(orders):
        for other in orders[number + 1 :]:
            assert (one != other).mean() > 0.9
            # Not only the batches' order differs, but who is in a batch with whom.
            groups = [
                {frozenset(order[i : i + 16]) for i in range(0, 992, 16)} for order in (one, other)
            ]
            assert len(groups[0] & groups[1]) < 5


def test_the_short_batch_is_last() -> None:
    order = epoch_order(LENGTHS, 16, 0, 0)
    spreads = [np.ptp(LENGTHS[order[start : start + 16]]) for start in range(0, 992, 16)]
    # All but the last are cut from rows sorted by length: a shifted cut would mix two of them.
    assert np.median(spreads) < 0.2 * np.ptp(LENGTHS) / 10


def test_like_lengths_come_together() -> None:
    ours = padding(epoch_order(LENGTHS, 16, 0, 0), 16)
    random = padding(np.random.default_rng(0).permutation(1003), 16)
    assert ours < random / 5


def test_long_and_short_batches_are_mixed() -> None:
    order = epoch_order(LENGTHS, 16, 0, 0)
    means = [LENGTHS[order[start : start + 16]].mean() for start in range(0, 992, 16)]
    assert abs(np.corrcoef(means, range(len(means)))[0, 1]) < 0.4


def batches_of(devices: int, rows: int, count: int = 1003) -> list[list[list[int]]]:
    """Return the batches of each device, which with their accumulation make 16 rows a step."""
    split = []
    for rank in range(devices):
        batches = GlobalBatches(
            LENGTHS[:count],
            rows=rows,
            accumulation=16 // (devices * rows),
            seed=3,
            world=World(rank=rank, size=devices),
        )
        batches.set_epoch(2)
        split.append(list(batches))
        assert len(batches) == len(split[-1])
    return split


@pytest.mark.parametrize(("devices", "rows"), [(1, 16), (1, 4), (2, 8), (4, 4), (4, 2), (8, 2)])
@pytest.mark.parametrize("count", [1003, 16, 13, 1])
def test_any_split_sees_the_same_global_batches(devices: int, rows: int, count: int) -> None:
    order = epoch_order(LENGTHS[:count], 16, seed=3, epoch=2)
    split = batches_of(devices, rows, count)
    assert len({len(mine) for mine in split}) == 1
    steps = 16 // (devices * rows)
    for step in range(-(-count // 16)):
        seen = [
            row
            for mine in split
            for batch in mine[step * steps : (step + 1) * steps]
            for row in batch
            if row != FILLER
        ]
        assert sorted(seen) == sorted(order[step * 16 : (step + 1) * 16])


def test_no_batch_is_empty_and_a_filler_stands_alone() -> None:
    split = batches_of(4, 4, count=17)
    assert [mine[1] == [FILLER] for mine in split] == [False, True, True, True]


def test_a_short_global_batch_can_be_left_out() -> None:
    batches = GlobalBatches(LENGTHS, rows=4, accumulation=4, seed=7, drop_last=True)
    assert len(batches) == len(list(batches)) == 1003 // 16 * 4
    assert [row for batch in batches for row in batch] == epoch_order(LENGTHS, 16, 7, 0)[
        :992
    ].tolist()


def test_the_only_global_batch_is_not_left_out() -> None:
    batches = GlobalBatches(LENGTHS[:7], rows=4, accumulation=4, seed=7, drop_last=True)
    assert sorted(chain.from_iterable(batches)) == list(range(7))


def test_it_yields_the_epoch_that_was_set() -> None:
    batches = GlobalBatches(LENGTHS, rows=16, accumulation=1, seed=7)
    assert list(chain.from_iterable(batches)) == epoch_order(LENGTHS, 16, 7, 0).tolist()
    batches.set_epoch(5)
    assert list(chain.from_iterable(batches)) == epoch_order(LENGTHS, 16, 7, 5).tolist()
    assert list(batches) == list(batches)


@pytest.mark.parametrize("first", [0, 1, 3, 126, 200])
def test_a_pass_may_begin_at_a_later_batch(first: int) -> None:
    batches = GlobalBatches(LENGTHS, rows=4, accumulation=2, seed=7, world=World(rank=1, size=2))
    batches.set_epoch(3)
    whole = list(batches)
    batches.set_epoch(3, first)
    assert list(batches) == whole[first:]
    # Of a pass, and not of what is left of it.
    assert len(batches) == len(whole) == 126


def test_the_next_pass_begins_at_its_first_batch() -> None:
    batches = GlobalBatches(LENGTHS, rows=16, accumulation=1, seed=7)
    batches.set_epoch(0, 60)
    assert len(list(batches)) == 3
    batches.set_epoch(1)
    assert list(chain.from_iterable(batches)) == epoch_order(LENGTHS, 16, 7, 1).tolist()


def test_a_pass_that_leaves_rows_out_begins_later_too() -> None:
    batches = GlobalBatches(LENGTHS, rows=4, accumulation=4, seed=7, drop_last=True)
    batches.set_epoch(0, 240)
    assert [len(batch) for batch in batches] == [4] * 8
