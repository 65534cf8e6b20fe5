"""How predictions are scored: the `metric` group of the config."""

from __future__ import annotations

from dataclasses import dataclass

from summexp.errors import ConfigError, Problem
from summexp.options import choice


@dataclass(kw_only=True)
class MetricConfig:
    """Which scores are computed, and how; every choice is part of the metric's signature."""

    name: str = choice("rouge", "rouge")
    """The family of scores."""
    stemming: bool | None = None
    """Compare word stems; where not set, on for the languages that have a stemmer."""
    tokenizer: str | None = choice(
        None, "rouge_score", "unicode", "han", "graphemes", "kiwi", "mecab", "newmm"
    )
    """How words are counted; where not set, the one that fits the language (`docs/metrics.md`)."""
    sentences: str = choice("sentencex", "sentencex", "punkt")
    """What splits sentences for rougeLsum: sentencex, or the English punkt of the old scripts."""
    aggregate: str = choice("mean", "mean", "bootstrap_median")
    """A score over all rows: their mean, or the median of the resampled means (the old scripts)."""
    references: str = choice("original", "original", "labels")
    """Score against the full text, or against what the labels keep of it (the old scripts)."""
    decimals: int | None = None
    """Round the scores over all rows to so many decimals; not at all where not set."""
    bootstrap_samples: int = 1000
    """Resamples behind each confidence interval; 0 leaves the intervals out."""
    confidence: float = 0.95
    """Width of the confidence intervals, between 0 and 1."""
    baseline: bool = True
    """Score the document's first sentences too: lead-1, or lead-3 for long summaries."""

    def __post_init__(self) -> None:
        problems = []
        if self.bootstrap_samples < 0:
            problems.append(Problem(key="metric.bootstrap_samples", what="must not be negative"))
        if self.aggregate == "bootstrap_median" and self.bootstrap_samples == 0:
            problems.append(
                Problem(
                    key="metric.aggregate",
                    what="bootstrap_median needs resamples, and metric.bootstrap_samples is 0",
                    hint="Set metric.bootstrap_samples=1000, or metric.aggregate=mean.",
                )
            )
        if not 0 < self.confidence < 1:
            problems.append(Problem(key="metric.confidence", what="must lie between 0 and 1"))
        if self.decimals is not None and self.decimals < 0:
            problems.append(Problem(key="metric.decimals", what="must not be negative"))
        if problems:
            raise ConfigError(problems)
