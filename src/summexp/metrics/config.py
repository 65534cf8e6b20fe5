"""How predictions are scored: the `metric` group of the config."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields

from summexp.errors import ConfigError, Problem, nearest
from summexp.metrics.registry import METRICS
from summexp.options import choice
from summexp.paths import at_home


@dataclass(kw_only=True)
class MetricConfig:
    """Which scores are computed, and how; every choice is part of the metric's signature."""

    names: list[str] = field(default_factory=lambda: ["rouge", "length_ratio", "repetition"])
    """Any of rouge, bertscore, length_ratio, compression, novelty, repetition."""
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
    bertscore_model: str | None = None
    """Encoder of BERTScore, a Hub name or a folder; one that fits the language where not set."""
    bertscore_revision: str | None = None
    """Branch, tag or commit of that encoder."""
    bertscore_layer: int | None = None
    """Its layer that is compared, from 1; where not set, the one that its authors found best."""
    bertscore_batch_size: int = 32
    """Pairs of texts that it encodes at once."""

    def __post_init__(self) -> None:
        if self.bertscore_model is not None:
            self.bertscore_model = at_home(self.bertscore_model)
        problems = [*self._unknown_names(), *self._option_problems()]
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

    def _unknown_names(self) -> Iterator[Problem]:
        known = ", ".join(METRICS)
        if not self.names:
            yield Problem(key="metric.names", what="is empty", hint=f"Take any of {known}.")
        for name in self.names:
            if name not in METRICS:
                hint = f"Take any of {known}."
                near = nearest(name, METRICS)
                yield Problem(
                    key="metric.names",
                    what=f"there is no metric {name!r}",
                    hint=f"{near} {hint}" if near else hint,
                )

    def _option_problems(self) -> Iterator[Problem]:
        """Yield what is wrong with the options of single metrics, `<metric>_<option>`."""
        for name, metric in METRICS.items():
            if name in self.names:
                yield from metric.check_options(self)
                continue
            for spec in fields(self):
                if spec.name.startswith(f"{name}_") and getattr(self, spec.name) != spec.default:
                    yield Problem(
                        key=f"metric.{spec.name}",
                        what=f"has no effect without the metric {name}",
                        hint=f"Add it: 'metric.names=[{','.join([*self.names, name])}]'",
                    )
