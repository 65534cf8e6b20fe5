"""Confidence intervals of a mean: percentile bootstrap over the rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

_SEED = 0
_CHUNK = 1 << 20


class Interval(NamedTuple):
    """The spread of the resampled means."""

    low: float
    median: float
    high: float


def intervals(
    rows: Mapping[str, Sequence[float]], *, samples: int, confidence: float
) -> dict[str, Interval]:
    """Return the interval of each score's mean when rows are drawn anew with replacement.

    Every score sees the same draws, and the draws depend on the number of rows only, so that the
    same rows always give the same interval.

    Args:
        rows: for each score one value a row, all of one length, at least one row.
        samples: number of resamples, at least 1.
        confidence: share of the resampled means between low and high, in (0, 1).
    """
    values = np.stack([np.asarray(column, dtype=np.float64) for column in rows.values()], axis=1)
    means = _resampled_means(values, samples)
    tail = 50.0 * (1.0 - confidence)
    bounds = np.percentile(means, [tail, 50.0, 100.0 - tail], axis=0)
    return {name: Interval(*map(float, bounds[:, i])) for i, name in enumerate(rows)}


def upstream_medians(
    rows: Mapping[str, Sequence[float]], *, samples: int, seed: int
) -> dict[str, float]:
    """Return the median of each score's resampled means, with the draws of the old scripts.

    There rouge_score 0.1.2 (`BootstrapAggregator`) draws from NumPy's global state, one score after
    the other, and evaluate 0.4.6 (`EvaluationModule.compute`) seeds that each time with what it was
    seeded with when the metric was loaded: the seed of the run.

    Args:
        rows: for each score one value a row, all of one length, in the order of the draws.
        samples: number of resamples; 1000 there.
        seed: of the run.
    """
    random = np.random.RandomState(seed)
    medians = {}
    for name, column in rows.items():
        values = np.asarray(column, dtype=np.float64)
        means = [values[random.choice(len(values), len(values))].mean() for _ in range(samples)]
        medians[name] = float(np.median(means))
    return medians


def _resampled_means(values: np.ndarray, samples: int) -> np.ndarray:
    """Return the means, (samples, scores), of resamples of `values`, (rows, scores)."""
    count = len(values)
    generator = np.random.default_rng(_SEED)
    means = np.empty((samples, values.shape[1]))
    step = max(1, _CHUNK // count)
    for start in range(0, samples, step):
        size = min(step, samples - start)
        drawn = generator.integers(0, count, size=(size, count))
        # How often each row was drawn, all resamples of the chunk in one count.
        drawn += np.arange(size)[:, None] * count
        weights = np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count)
        means[start : start + size] = weights @ values / count
    return means
