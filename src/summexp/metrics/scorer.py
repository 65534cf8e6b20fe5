"""Scores predictions against references: the face of this package.

Words, sentences and language are chosen once, when the scorer is made; `signature` says what was
chosen, so that two numbers can be compared only where their signatures agree.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from statistics import fmean
from typing import TYPE_CHECKING

from summexp.metrics.bertscore import BertScore
from summexp.metrics.bootstrap import intervals, upstream_medians
from summexp.metrics.config import SCORES, MetricConfig
from summexp.metrics.language import choose_language
from summexp.metrics.rouge import Text, Words, score_pair
from summexp.metrics.sentences import SentenceSplitter
from summexp.metrics.text_statistics import compression, length_ratio, novelty, repetition
from summexp.metrics.word_tokenizer import WordTokenizer

if TYPE_CHECKING:
    import torch

_REMEMBERED_TEXTS = 1 << 16

_NAMES = tuple(name for names in SCORES.values() for name in names)

References = Sequence[str] | Sequence[Sequence[str]]
"""For each row its reference, or all its references."""


@dataclass(frozen=True)
class SummaryScores:
    """The scores of a set of predictions."""

    rows: dict[str, list[float]]
    """Score name to one value a row, in the order of the predictions; never rounded. 0 to 100, but
    `length_ratio`, which is a ratio."""
    summary: dict[str, float]
    """Score name to the value over all rows, with `<name>_low` and `<name>_high` where
    resampled; empty when there are no rows."""


class SummaryScorer:
    """Scores summaries of one language; reference texts are counted once and remembered."""

    signature: str
    """One line: everything that the numbers depend on."""
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
            device: where BERTScore encodes texts.
            tiny: take random weights for BERTScore.
            seed: the run's, from which the old scripts resample (`aggregate=bootstrap_median`).

        Raises:
            ConfigError: unknown language, no stemmer where one is asked for, punkt not installed,
                an encoder that cannot be read.
        """
        self.config = config
        self._seed = seed
        rows = [_of_row(row) for row in references]
        chosen = choose_language(language, [row[0] for row in rows])
        self.remark = chosen.remark
        self.words = WordTokenizer(
            chosen.code, tokenizer=config.tokenizer, stemming=config.stemming
        )
        self.sentences = SentenceSplitter(chosen.code, config.sentences)
        self.bertscore = (
            BertScore(config, chosen.code, device=device, tiny=tiny)
            if self._has("bertscore")
            else None
        )
        several = any(len(row) > 1 for row in rows)
        self.signature = self._describe(f"{chosen.code}({chosen.origin})", several=several)
        self._count = lru_cache(maxsize=_REMEMBERED_TEXTS)(self._tokenize_text)
        # Inflected forms are new words where novelty and repetition are published.
        self._plain_words = WordTokenizer(chosen.code, tokenizer=config.tokenizer, stemming=False)
        self._numbers: dict[str, int] = {}
        self._document = lru_cache(maxsize=_REMEMBERED_TEXTS)(
            lambda text: self._number(self._plain(text))
        )

    def _has(self, name: str) -> bool:
        return name in self.config.names

    def load(self) -> None:
        """Load what is large, before the first row is scored.

        Raises:
            ConfigError: the encoder of BERTScore cannot be loaded.
        """
        if self.bertscore is not None:
            self.bertscore.load()

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
        `documents`, what goes by them (compression, novelty) is left out.

        Raises:
            ValueError: they are not of one length.
        """
        pairs = [(text, _of_row(row)) for text, row in zip(predictions, references, strict=True)]
        rows: dict[str, list[float]] = {}
        if self._has("rouge"):
            counted = ((self._count(text), row) for text, row in pairs)
            rows |= _columns("rouge", [self._best_rouge(*pair) for pair in counted])
        if self.bertscore is not None:
            rows |= _columns("bertscore", self._bertscore(self.bertscore, pairs))
        rows |= self._statistics(pairs, documents)
        return self._summarize({name: rows[name] for name in _NAMES if name in rows})

    def _bertscore(
        self, encoder: BertScore, rows: Sequence[tuple[str, Sequence[str]]]
    ) -> list[tuple[float, ...]]:
        pairs = [(text, reference) for text, row in rows for reference in row]
        scores = iter(encoder.score([text for text, _ in pairs], [one for _, one in pairs]))
        found = [[next(scores) for _ in row] for _, row in rows]
        return [
            tuple(100.0 * max(column) for column in zip(*scored, strict=True)) for scored in found
        ]

    def _statistics(
        self, rows: Sequence[tuple[str, Sequence[str]]], documents: Sequence[str] | None
    ) -> dict[str, list[float]]:
        """Return what is counted of each summary, alone and beside its references and document."""
        columns: dict[str, list[float]] = {}
        same = self.words.stemmer is None
        words = (self._count(text).words if same else self._plain(text) for text, _ in rows)
        texts = [self._number(one) for one in words]
        if self._has("length_ratio"):
            sizes = ([self._count(reference).words for reference in row] for _, row in rows)
            pairs = zip(texts, sizes, strict=True)
            columns |= _columns("length_ratio", [(length_ratio(*pair),) for pair in pairs])
        if self._has("repetition"):
            columns |= _columns("repetition", [repetition(text) for text in texts])
        if documents is None or not (self._has("compression") or self._has("novelty")):
            return columns
        beside = [(self._document(one), text) for one, text in zip(documents, texts, strict=True)]
        if self._has("compression"):
            columns |= _columns("compression", [(compression(*pair),) for pair in beside])
        if self._has("novelty"):
            columns |= _columns("novelty", [novelty(*pair) for pair in beside])
        return columns

    def lead_baseline(self, documents: Sequence[str], references: References) -> dict[str, float]:
        """Score each document's first sentence, or its first 3, as if it were the summary.

        Three where the (first) references have two sentences or more on average, as for news.
        Returns `lead1_rouge1` and so on, 0 to 100, and no score but ROUGE; nothing when there are
        no rows or `metric.baseline` is off.

        Raises:
            ValueError: the two are not of one length.
        """
        if not (self.config.baseline and self._has("rouge") and references):
            return {}
        rows = [_of_row(row) for row in references]
        lead = 3 if fmean(len(self._count(row[0]).sentences) for row in rows) >= 2 else 1
        starts = [Text.of(map(self.words, self.sentences(one)[:lead])) for one in documents]
        scores = [self._best_rouge(*pair) for pair in zip(starts, rows, strict=True)]
        means = {name: fmean(column) for name, column in _columns("rouge", scores).items()}
        return {f"lead{lead}_{name}": self._rounded(value) for name, value in means.items()}

    def _best_rouge(self, text: Text, references: Sequence[str]) -> tuple[float, ...]:
        scores = [score_pair(self._count(reference), text) for reference in references]
        return tuple(100.0 * max(column) for column in zip(*scores, strict=True))

    def _tokenize_text(self, text: str) -> Text:
        return Text.of(map(self.words, self.sentences(text)))

    def _plain(self, text: str) -> Words:
        """Return the words of `text`, not stemmed, cut the same in a summary and its document."""
        if self.words.stemmer is None:
            return self._tokenize_text(text).words
        return [word for one in self.sentences(text) for word in self._plain_words(one)]

    def _number(self, words: Words) -> array[int]:
        numbers = self._numbers
        return array("I", [numbers.setdefault(word, len(numbers)) for word in words])

    def _summarize(self, rows: dict[str, list[float]]) -> SummaryScores:
        config = self.config
        if not rows or not next(iter(rows.values())):
            return SummaryScores(rows, {})
        summary = {name: fmean(column) for name, column in rows.items()}
        if config.aggregate == "bootstrap_median":
            summary = upstream_medians(rows, samples=config.bootstrap_samples, seed=self._seed)
        if config.bootstrap_samples:
            spread = intervals(rows, samples=config.bootstrap_samples, confidence=config.confidence)
            for name, interval in spread.items():
                summary[f"{name}_low"], summary[f"{name}_high"] = interval.low, interval.high
        return SummaryScores(rows, {key: self._rounded(value) for key, value in summary.items()})

    def _rounded(self, value: float) -> float:
        return value if self.config.decimals is None else round(value, self.config.decimals)

    def _describe(self, language: str, *, several: bool) -> str:
        config = self.config
        parts = [
            "+".join(name for name in SCORES if self._has(name)),
            f"lang:{language}",
            f"tok:{self.words.label}",
            f"stem:{self.words.stemmer or 'none'}",
            f"sents:{self.sentences.label}",
            f"boot:{config.bootstrap_samples}",
        ]
        if several:
            parts.append("refs:best")
        if self.bertscore is not None:
            parts.append(f"bert:{self.bertscore.label}")
        if config.bootstrap_samples:
            parts.append(f"conf:{config.confidence:g}")
        if config.aggregate != "mean":
            parts.append(f"agg:{config.aggregate}")
        if config.decimals is not None:
            parts.append(f"dec:{config.decimals}")
        return "|".join([*parts, f"v:{version('summexp')}"])


def _of_row(references: str | Sequence[str]) -> Sequence[str]:
    return [references] if isinstance(references, str) else references


def _columns(metric: str, rows: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Name the columns of one metric's scores."""
    return {name: [row[i] for row in rows] for i, name in enumerate(SCORES[metric])}
