"""The scorer in the shape of an `evaluate` metric, for code that uses that protocol.

A module of its own, because importing `evaluate` loads datasets and pandas.
"""

from __future__ import annotations

from collections.abc import Sequence

import datasets
import evaluate

from summexp.metrics.scorer import SummaryScorer


class SummaryMetric(evaluate.Metric):  # type: ignore[misc]
    """Collects predictions and references with `add_batch`, scores them with `compute`.

    Needs no network. Everything is kept in memory, so that processes running at once share no file.
    `compute` returns `SummaryScores.summary`, without what goes by the documents; as every
    `evaluate` metric it wants at least one row.
    """

    def __init__(self, scorer: SummaryScorer) -> None:
        self._scorer = scorer
        super().__init__(config_name="+".join(scorer.config.names), keep_in_memory=True)

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=self._scorer.signature,
            citation="",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[str]) -> dict[str, float]:
        return self._scorer.score(predictions, references).summary
