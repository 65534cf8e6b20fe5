"""Scores predictions against references: the face of this package.

Words, sentences and language are chosen once, when the scorer is made; `signature` says what was
chosen, so that two numbers can be compared only where their signatures agree.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from statistics import fmean

from summexp.metrics.bootstrap import intervals
from summexp.metrics.config import MetricConfig
from summexp.metrics.language import choose_language
from summexp.metrics.rouge import TYPES, Text, score_pair
from summexp.metrics.sentences import SentenceSplitter
from summexp.metrics.words import WordCounter

_REMEMBERED_TEXTS = 1 << 16


@dataclass(frozen=True)
class SummaryScores:
    """The scores of a set of predictions."""

    rows: dict[str, list[float]]
    """Score name to one value a row, 0 to 100, in the order of the predictions; never rounded."""
    summary: dict[str, float]
    """Score name to the value over all rows, 0 to 100, with `<name>_low` and `<name>_high` where
    resampled; empty when there are no rows."""


class SummaryScorer:
    """Scores summaries of one language; reference texts are counted once and remembered."""

    signature: str
    """One line: everything that the numbers depend on."""
    remark: str
    """What was recognised and chosen, to be said aloud."""

    def __init__(
        self, config: MetricConfig, *, language: str | None, references: Sequence[str]
    ) -> None:
        """Choose words and sentences by `language`, or by the script of `references` when None.

        Raises:
            ConfigError: unknown language, no stemmer where one is asked for, punkt not installed.
        """
        self.config = config
        chosen = choose_language(language, references)
        self.remark = chosen.remark
        self.words = WordCounter(chosen.code, tokenizer=config.tokenizer, stemming=config.stemming)
        self.sentences = SentenceSplitter(chosen.code, config.sentences)
        self.signature = self._describe(f"{chosen.code}({chosen.origin})")
        self._count = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._count_text)

    def score(self, predictions: Sequence[str], references: Sequence[str]) -> SummaryScores:
        """Score each prediction against the reference of the same row.

        A row whose prediction or reference has no words scores 0.

        Raises:
            ValueError: the two are not of one length.
        """
        pairs = zip(references, predictions, strict=True)
        return self._summarize(
            [score_pair(self._count(reference), self._count(text)) for reference, text in pairs]
        )

    def lead_baseline(
        self, documents: Sequence[str], references: Sequence[str]
    ) -> dict[str, float]:
        """Score each document's first sentence, or its first 3, as if it were the summary.

        Three where the references have two sentences or more on average, as for news. Returns
        `lead1_rouge1` and so on, 0 to 100; nothing when there are no rows or `metric.baseline` is
        off.

        Raises:
            ValueError: the two are not of one length.
        """
        if not self.config.baseline or not references:
            return {}
        targets = [self._count(reference) for reference in references]
        lead = 3 if fmean(len(target.sentences) for target in targets) >= 2 else 1
        scores = [
            score_pair(target, Text.of(map(self.words, self.sentences(document)[:lead])))
            for document, target in zip(documents, targets, strict=True)
        ]
        means = {name: 100.0 * fmean(s[i] for s in scores) for i, name in enumerate(TYPES)}
        return {f"lead{lead}_{name}": self._rounded(value) for name, value in means.items()}

    def _count_text(self, text: str) -> Text:
        return Text.of(map(self.words, self.sentences(text)))

    def _summarize(self, scores: Sequence[tuple[float, ...]]) -> SummaryScores:
        config = self.config
        rows = {name: [100.0 * s[i] for s in scores] for i, name in enumerate(TYPES)}
        if not scores:
            return SummaryScores(rows, {})
        summary = {name: fmean(column) for name, column in rows.items()}
        if config.bootstrap_samples:
            spread = intervals(rows, samples=config.bootstrap_samples, confidence=config.confidence)
            for name, interval in spread.items():
                if config.aggregate == "bootstrap_median":
                    summary[name] = interval.median
                summary[f"{name}_low"], summary[f"{name}_high"] = interval.low, interval.high
        return SummaryScores(rows, {key: self._rounded(value) for key, value in summary.items()})

    def _rounded(self, value: float) -> float:
        return value if self.config.decimals is None else round(value, self.config.decimals)

    def _describe(self, language: str) -> str:
        config = self.config
        parts = [
            config.name,
            f"lang:{language}",
            f"tok:{self.words.label}",
            f"stem:{self.words.stemmer or 'none'}",
            f"sents:{self.sentences.label}",
            f"boot:{config.bootstrap_samples}",
        ]
        if config.bootstrap_samples:
            parts.append(f"conf:{config.confidence:g}")
        if config.aggregate != "mean":
            parts.append(f"agg:{config.aggregate}")
        if config.decimals is not None:
            parts.append(f"dec:{config.decimals}")
        return "|".join([*parts, f"v:{version('summexp')}"])
