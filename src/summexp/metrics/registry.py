"""The metrics that there are: the one list that a new metric is added to."""

from __future__ import annotations

from collections.abc import Collection

from summexp.metrics.bertscore import BERTSCORE
from summexp.metrics.metric import Metric, ScoreInfo
from summexp.metrics.rouge import ROUGE
from summexp.metrics.text_statistics import COMPRESSION, LENGTH_RATIO, NOVELTY, REPETITION

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (ROUGE, BERTSCORE, LENGTH_RATIO, COMPRESSION, NOVELTY, REPETITION)
}
"""What `metric.names` takes, in the order of every table."""

SCORES: dict[str, ScoreInfo] = {
    score.name: score for metric in METRICS.values() for score in metric.scores
}
"""Every score of these metrics, in the same order."""


def chosen_metrics(names: Collection[str]) -> list[Metric]:
    """Return the metrics of these names, in the order of every table."""
    return [metric for name, metric in METRICS.items() if name in names]
