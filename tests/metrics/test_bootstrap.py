import numpy as np
import pytest
from rouge_score import scoring

from summexp.metrics import bootstrap
from summexp.metrics.bootstrap import intervals, upstream_medians


def test_equals_plain_resampling() -> None:
    values = np.random.default_rng(5).random(37) * 100
    means = values[np.random.default_rng(0).integers(0, 37, size=(400, 37))].mean(axis=1)
    got = intervals({"a": list(values)}, samples=400, confidence=0.9)["a"]
    assert got == pytest.approx(np.percentile(means, [5, 50, 95]), abs=1e-9)


def test_width_is_that_of_the_standard_error() -> None:
    values = np.random.default_rng(1).normal(50, 10, size=2500)
    low, median, high = intervals({"a": list(values)}, samples=2000, confidence=0.95)["a"]
    # 1.96 standard errors of 10 / sqrt(2500) on either side.
    assert high - low == pytest.approx(2 * 1.96 * 0.2, rel=0.1)
    assert median == pytest.approx(values.mean(), abs=0.02)


def test_chunks_compute_as_well_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    values = list(np.random.default_rng(2).normal(50, 10, size=400))
    whole = intervals({"a": values}, samples=1001, confidence=0.95)["a"]
    monkeypatch.setattr(bootstrap, "_CHUNK", 1000)
    assert intervals({"a": values}, samples=1001, confidence=0.95)["a"] == pytest.approx(
        whole, abs=0.2
    )


def test_every_score_sees_the_same_draws_and_repeats_exactly() -> None:
    rows = {"a": [0.0, 10.0, 40.0], "b": [0.0, 20.0, 80.0]}
    first = intervals(rows, samples=100, confidence=0.95)
    assert first == intervals(rows, samples=100, confidence=0.95)
    assert first["b"] == pytest.approx([2 * bound for bound in first["a"]])


def test_one_row_has_no_spread() -> None:
    assert intervals({"a": [42.0]}, samples=10, confidence=0.95)["a"] == (42, 42, 42)


def test_upstreams_medians_are_those_of_rouge_score() -> None:
    random = np.random.default_rng(3)
    rows = {"rouge1": list(random.random(23)), "rougeL": list(random.random(23))}
    aggregator = scoring.BootstrapAggregator(n_samples=200)
    for one, other in zip(rows["rouge1"], rows["rougeL"], strict=True):
        aggregator.add_scores(
            {"rouge1": scoring.Score(0, 0, one), "rougeL": scoring.Score(0, 0, other)}
        )
    before = np.random.get_state()
    np.random.seed(11)
    expected = {name: score.mid.fmeasure for name, score in aggregator.aggregate().items()}
    np.random.set_state(before)
    medians = upstream_medians(rows, samples=200, seed=11)
    assert medians == pytest.approx(expected, abs=1e-12)
    assert medians != upstream_medians(rows, samples=200, seed=12)
