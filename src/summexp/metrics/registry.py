"""Registry of metrics.

Tested in tests/metrics/test_config.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from summexp.metrics.bertscore import BERTSCORE
from summexp.metrics.evaluate_metric import PREFIX, EvaluateMetric
from summexp.metrics.metric import Metric, ScoreInfo
from summexp.metrics.rouge import ROUGE
from summexp.metrics.text_statistics import COMPRESSION, LENGTH_RATIO, NOVELTY, REPETITION

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (ROUGE, BERTSCORE, LENGTH_RATIO, COMPRESSION, NOVELTY, REPETITION)
}
"""Metrics by name, in the order of every table."""

SCORES: dict[str, ScoreInfo] = {
    score.name: score for metric in METRICS.values() for score in metric.scores
}
"""Every score of these metrics, in the same order."""


def chosen_metrics(names: Sequence[str]) -> list[Metric]:
    """Return the metrics of these names: in the order of every table, and then those of others."""
    return [
        *(metric for name, metric in METRICS.items() if name in names),
        *evaluate_metrics(names),
    ]


def evaluate_metrics(names: Sequence[str]) -> list[EvaluateMetric]:
    """Return those of the `evaluate` library, in the order of their names."""
    return [
        EvaluateMetric(name.removeprefix(PREFIX))
        for name in dict.fromkeys(names)
        if name.startswith(PREFIX)
    ]
