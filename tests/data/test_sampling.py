from __future__ import annotations

import numpy as np
import pytest

from summexp.data.sampling import LengthGroupedSampler, epoch_order

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


@pytest.mark.parametrize(("devices", "rows"), [(1, 16), (1, 4), (2, 8), (4, 2), (8, 2)])
def test_any_split_sees_the_same_global_batches(devices: int, rows: int) -> None:
    """Splits as accelerate does: micro-batches in turn to each device."""
    order = epoch_order(LENGTHS, 16, seed=3, epoch=2)
    micro = [order[start : start + rows] for start in range(0, len(order), rows)]
    steps = 16 // (devices * rows)
    per_device = [micro[device::devices] for device in range(devices)]
    for step in range(1003 // 16):
        seen = [
            row
            for mine in per_device
            for batch in mine[step * steps : (step + 1) * steps]
            for row in batch
        ]
        assert sorted(seen) == sorted(order[step * 16 : (step + 1) * 16])


def test_sampler_yields_the_epoch_that_was_set() -> None:
    sampler = LengthGroupedSampler(LENGTHS, 16, seed=7)
    assert len(sampler) == 1003
    assert list(sampler) == epoch_order(LENGTHS, 16, 7, 0).tolist()
    sampler.set_epoch(5)
    assert list(sampler) == epoch_order(LENGTHS, 16, 7, 5).tolist()
    assert list(sampler) == list(sampler)
