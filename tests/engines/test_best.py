from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from summexp.engines.best import best_score, best_score_name, is_better, should_stop_early
from summexp.engines.config import EngineConfig
from summexp.errors import ConfigError, RunError


def arguments(name: str | None = "loss", *, greater: bool = False) -> Any:
    return SimpleNamespace(metric_for_best_model=name, greater_is_better=greater)


@pytest.mark.parametrize(
    ("given", "name"),
    [(None, None), ("rougeL", "eval_rougeL"), ("eval_news_loss", "eval_news_loss")],
)
def test_the_name_of_the_score(given: str | None, name: str | None) -> None:
    assert best_score_name(arguments(given)) == name


def test_a_score_that_was_not_computed_is_reported() -> None:
    assert best_score(arguments("rougeL"), {"eval_rougeL": 3.0}) == 3.0
    assert best_score(arguments(None), {}) is None
    with pytest.raises(RunError, match=r"eval_rougeL was not computed.*available: eval_loss"):
        best_score(arguments("rougeL"), {"eval_loss": 1.0})


@pytest.mark.parametrize(
    ("score", "best", "greater", "better"),
    [
        (1.0, None, False, True),
        (1.0, None, True, True),
        (1.0, 2.0, False, True),
        (1.0, 2.0, True, False),
        (-1.0, -2.0, True, True),
        (2.0, 2.0, True, False),
        (2.0, 2.0, False, False),
        (0.0, 1.0, False, True),
        (1.0, 0.0, False, False),
        (math.nan, 1.0, False, False),
        (math.nan, None, True, False),
    ],
)
def test_which_score_is_better(
    score: float, best: float | None, greater: bool, better: bool
) -> None:
    assert is_better(arguments(greater=greater), score, best) is better


def stops(
    scores: Sequence[float], patience: int | None, *, threshold: float = 0.0, **options: Any
) -> bool:
    engine = EngineConfig(early_stopping_patience=patience, early_stopping_threshold=threshold)
    history: list[dict[str, float]] = []
    for step, score in enumerate(scores, start=1):
        history += [{"loss": 9.0, "step": step}, {"eval_loss": score, "step": step}]
    return should_stop_early(arguments(**options), engine, history)


@pytest.mark.parametrize(
    ("scores", "patience", "stopped"),
    [
        ([], 1, False),
        ([4], 1, False),
        ([4, 4], 1, True),
        ([4, 3], 1, False),
        ([4, 5, 3], 1, False),
        ([4, 5, 4.5], 2, True),
        ([4, 5, 3, 5], 2, False),
        ([4, 5, 3, 5, 6], 2, True),
        ([5, 5, 5, 5], None, False),
        ([4, math.nan, math.nan], 2, True),
        ([math.nan, math.nan], 2, True),
        ([math.nan, 4], 1, False),
    ],
)
def test_patience_counts_evaluations_in_a_row(
    scores: list[float], patience: int | None, stopped: bool
) -> None:
    assert stops(scores, patience) is stopped


def test_a_gain_has_to_be_above_the_threshold() -> None:
    assert stops([4, 3.5], 1, threshold=0.5)
    assert not stops([4, 3.4], 1, threshold=0.5)
    # A small gain is one all the same, from which the next is counted.
    assert stops([4, 3.6, 3.2], 2, threshold=0.5)
    assert not stops([4, 4.4, 3.2], 2, threshold=0.5)


def test_a_higher_score_may_be_better() -> None:
    assert stops([4, 3], 1, greater=True)
    assert not stops([4, 5], 1, greater=True)


def test_another_score_or_none_does_not_count() -> None:
    assert not stops([4, 4, 4], 1, name="rougeL")
    assert not stops([4, 4, 4], 1, name=None)


def test_what_was_evaluated_before_the_first_step_is_left_out() -> None:
    engine = EngineConfig(early_stopping_patience=1)
    history = [{"eval_loss": 1.0, "step": 0}, {"eval_loss": 2.0, "step": 1}]
    assert not should_stop_early(arguments(), engine, history)
    assert should_stop_early(arguments(), engine, [*history, {"eval_loss": 3.0, "step": 2}])


def test_a_step_that_is_evaluated_again_counts_once() -> None:
    engine = EngineConfig(early_stopping_patience=1)
    history = [{"eval_loss": 1.0, "step": 2}, {"eval_loss": 1.0, "step": 2}]
    assert not should_stop_early(arguments(), engine, history)


@pytest.mark.parametrize(
    ("options", "key"),
    [
        ({"early_stopping_patience": 0}, "engine.early_stopping_patience"),
        ({"early_stopping_threshold": -0.1}, "engine.early_stopping_threshold"),
    ],
)
def test_values_without_a_meaning(options: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EngineConfig(**options)
    assert [problem.key for problem in caught.value.problems] == [key]
