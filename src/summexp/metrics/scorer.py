"""Scores predictions against references: the face of this package.

Words, sentences and language are chosen once, when the scorer is made; `signature` says what was
chosen, so that two numbers can be compared only where their signatures agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from statistics import fmean
from typing import TYPE_CHECKING

from summexp.metrics.bootstrap import intervals, upstream_medians
from summexp.metrics.config import MetricConfig
from summexp.metrics.language import choose_language
from summexp.metrics.metric import Setting, Summaries
from summexp.metrics.registry import chosen_metrics
from summexp.metrics.rouge import ROUGE
from summexp.metrics.score import Baseline, Estimate, Score, score_of
from summexp.metrics.tokenized_texts import TokenizedTexts

if TYPE_CHECKING:
    import torch

References = Sequence[str] | Sequence[Sequence[str]]
"""For each row its reference, or all its references."""


@dataclass(frozen=True)
class SummaryScores:
    """The scores of a set of predictions."""

    rows: dict[str, list[float]]
    """Score name to one value a row, in the order of the predictions; never rounded. The scale is
    that of the metric."""
    summary: dict[str, Estimate]
    """Score name to the value over all rows; empty when there are no rows."""


class SummaryScorer:
    """Scores summaries of one language; reference texts are counted once and remembered."""

    remark: str
    """What was recognised and chosen, to be logged."""

    def __init__(
        self,
        config: MetricConfig,
        *,
        language: str | None,
        references: References,
        device: torch.device | str = "cpu",
        tiny: bool = False,
        seed: int = 42,
    ) -> None:
        """Choose words and sentences by `language`, or by the script of `references` when None.

        Args:
            config: the `metric` group.
            language: code, or None.
            references: of all rows.
            device: where models run that score, such as BERTScore's.
            tiny: take random weights for these.
            seed: the run's, from which the old scripts resample (`aggregate=bootstrap_median`).

        Raises:
            ConfigError: unknown language, no stemmer where one is asked for, punkt not installed,
                a metric that cannot be computed.
        """
        self.config = config
        self._seed = seed
        rows = [_of_row(row) for row in references]
        chosen = choose_language(language, [row[0] for row in rows])
        self.remark = chosen.remark
        self.texts = TokenizedTexts(config, chosen.code)
        setting = Setting(config=config, language=chosen.code, device=device, tiny=tiny)
        self.metrics = [one.prepare(setting) for one in chosen_metrics(config.names)]
        several = any(len(row) > 1 for row in rows)
        self._language, self._several = f"{chosen.code}({chosen.origin})", several

    def load(self) -> None:
        """Load what is large, before the first row is scored.

        Raises:
            ConfigError: it cannot be loaded.
        """
        for metric in self.metrics:
            metric.load()

    def score(
        self,
        predictions: Sequence[str],
        references: References,
        documents: Sequence[str] | None = None,
    ) -> SummaryScores:
        """Score each prediction against the reference, or the references, of the same row.

        Of several references ROUGE and BERTScore take the best, each score for itself, as
        rouge_score's `score_multi` and the authors' BERTScore do (section 2.1 of Lin 2004 too, but
        its jackknifing). A row whose prediction or references have no words scores 0. Without
        `documents`, what goes by them (compression, novelty) is left out. Markers of sentence ends
        such as `<n>` are line ends.

        Raises:
            ValueError: they are not of one length.
        """
        rows = [_of_row(row) for row in references]
        for others in (rows, predictions if documents is None else documents):
            if len(others) != len(predictions):
                raise ValueError(f"{len(predictions)} predictions, {len(others)} of the others")
        predictions = [*map(self.texts.line_ends, predictions)]
        rows = [[*map(self.texts.line_ends, row)] for row in rows]
        summaries = Summaries(predictions, rows, documents, self.texts)
        columns: dict[str, list[float]] = {}
        totals: dict[str, Estimate] = {}
        for metric in self.metrics:
            if documents is None and metric.needs_documents:
                continue
            for name, values in metric.compute(summaries).items():
                if isinstance(values, Sequence):
                    columns[name] = list(values)
                else:
                    totals[name] = Estimate(self._rounded(values))
        return SummaryScores(columns, (self._means(columns) if rows and columns else {}) | totals)

    def records(
        self, set_name: str, scores: SummaryScores, baseline: Baseline | None = None
    ) -> list[Score]:
        """Return the record of each score over all rows.

        Args:
            set_name: of the evaluated set, such as `eval_news`.
            scores: of its predictions.
            baseline: of the set.
        """
        return [
            score_of(
                *(set_name, info, scores.summary[info.name]), metric=metric.name, baseline=baseline
            )
            for metric in self.metrics
            for info in metric.scores
            if info.name in scores.summary
        ]

    def lead_baseline(self, documents: Sequence[str], references: References) -> Baseline | None:
        """Score each document's first sentence, or its first 3, as if it were the summary.

        Three where the (first) references have two sentences or more on average, as for news. Only
        ROUGE is computed; nothing when there are no rows or `metric.baseline` is off.

        Raises:
            ValueError: the two are not of one length.
        """
        if not (self.config.baseline and ROUGE.name in self.config.names and references):
            return None
        rows = [_of_row(row) for row in references]
        lead = 3 if fmean(len(self.texts.text(row[0]).sentences) for row in rows) >= 2 else 1
        starts = [self.texts.lead(document, lead) for document in documents]
        scores = ROUGE.of_texts(starts, rows, self.texts)
        means = {name: self._rounded(fmean(column)) for name, column in scores.items()}
        return Baseline(f"lead{lead}", means)

    def _means(self, rows: dict[str, list[float]]) -> dict[str, Estimate]:
        config = self.config
        values = {name: fmean(column) for name, column in rows.items()}
        if config.aggregate == "bootstrap_median":
            values = upstream_medians(rows, samples=config.bootstrap_samples, seed=self._seed)
        if not config.bootstrap_samples:
            return {name: Estimate(self._rounded(value)) for name, value in values.items()}
        spread = intervals(rows, samples=config.bootstrap_samples, confidence=config.confidence)
        return {
            name: Estimate(*map(self._rounded, (value, spread[name].low, spread[name].high)))
            for name, value in values.items()
        }

    def _rounded(self, value: float) -> float:
        return value if self.config.decimals is None else round(value, self.config.decimals)

    @cached_property
    def signature(self) -> str:
        """One line: everything that the numbers depend on.

        Raises:
            ConfigError: a metric of others, whose version is a part of it, cannot be loaded.
        """
        config, texts = self.config, self.texts
        parts = [
            "+".join(metric.name for metric in self.metrics),
            f"lang:{self._language}",
            f"tok:{texts.words.label}",
            f"stem:{texts.words.stemmer or 'none'}",
            f"sents:{texts.sentences.label}",
            f"boot:{config.bootstrap_samples}",
        ]
        if self._several:
            parts.append("refs:best")
        parts += [metric.signature for metric in self.metrics if metric.signature is not None]
        if config.bootstrap_samples:
            parts.append(f"conf:{config.confidence:g}")
        if config.aggregate != "mean":
            parts.append(f"agg:{config.aggregate}")
        if config.decimals is not None:
            parts.append(f"dec:{config.decimals}")
        return "|".join([*parts, f"v:{version('summexp')}"])


def _of_row(references: str | Sequence[str]) -> Sequence[str]:
    return [references] if isinstance(references, str) else references
