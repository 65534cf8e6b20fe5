"""Config group `metric`: how predictions are scored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from summexp.errors import ConfigError, Problem, nearest
from summexp.metrics.evaluate_metric import PREFIX
from summexp.metrics.registry import METRICS, evaluate_metrics
from summexp.options import choice, open_mapping
from summexp.paths import at_home


@dataclass(kw_only=True)
class MetricConfig:
    """Which scores are computed, and how; every choice is part of the metric's signature."""

    names: list[str] = field(default_factory=lambda: ["rouge", "length_ratio", "repetition"])
    """Any of rouge, bertscore, length_ratio, compression, novelty, repetition; and metrics of the
    evaluate library: `evaluate:FOLDER`, or `evaluate:NAME`, which runs its code from the Hub."""
    stemming: bool | None = None
    """Compare word stems; if not set, on for the languages that have a stemmer."""
    tokenizer: str | None = choice(
        None, "rouge_score", "unicode", "han", "graphemes", "kiwi", "mecab", "newmm"
    )
    """Word tokenizer; if not set, chosen by language (`docs/metrics.md`)."""
    sentences: str = choice("sentencex", "sentencex", "punkt")
    """What splits sentences for rougeLsum: sentencex, or the English punkt of the old scripts."""
    aggregate: str = choice("mean", "mean", "bootstrap_median")
    """A score over all rows: their mean, or the median of the resampled means (the old scripts)."""
    references: str = choice("original", "original", "labels")
    """Score against the full text, or against what the labels keep of it (the old scripts)."""
    decimals: int | None = None
    """Round the scores over all rows to this many decimals; no rounding if not set."""
    bootstrap_samples: int = 1000
    """Resamples behind each confidence interval; 0 leaves the intervals out."""
    confidence: float = 0.95
    """Width of the confidence intervals, between 0 and 1."""
    baseline: bool = True
    """Score the document's first sentences too: lead-1, or lead-3 for long summaries."""
    bertscore_model: str | None = None
    """Encoder of BERTScore, a Hub name or a folder; one that fits the language if not set."""
    bertscore_revision: str | None = None
    """Branch, tag or commit of that encoder."""
    bertscore_layer: int | None = None
    """Layer of the encoder to compare, from 1; if not set, the best one of its authors."""
    bertscore_batch_size: int = 32
    """Pairs of texts that it encodes at once."""
    evaluate_kwargs: Any = open_mapping()
    """Arguments of `evaluate:` metrics, such as `evaluate_kwargs.sacrebleu.tokenize=ko-mecab`."""

    def __post_init__(self) -> None:
        if self.bertscore_model is not None:
            self.bertscore_model = at_home(self.bertscore_model)
        problems = [*self._name_problems(), *self._option_problems(), *self._kwargs_problems()]
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

    def kwargs_of(self, name: str) -> Mapping[str, Any]:
        """Return the arguments of a metric of the `evaluate` library, by the name of its script."""
        kwargs: Mapping[str, Any] = self.evaluate_kwargs.get(name, {})
        return kwargs

    def _name_problems(self) -> Iterator[Problem]:
        known = f"{', '.join(METRICS)}, {PREFIX}NAME"
        if not self.names:
            yield Problem(key="metric.names", what="is empty", hint=f"Available: {known}.")
        own = (name for name in self.names if not name.startswith(PREFIX))
        for name in own:
            if name not in METRICS:
                hint = f"Available: {known}."
                near = nearest(name, METRICS)
                yield Problem(
                    key="metric.names",
                    what=f"there is no metric {name!r}",
                    hint=f"{near} {hint}" if near else hint,
                )
        modules = Counter(metric.module_name for metric in evaluate_metrics(self.names))
        for module, count in modules.items():
            if not module:
                what = f"{PREFIX!r} has no metric name"
                hint = f"Write a name of the Hub or a folder after it: {PREFIX}sacrebleu"
                yield Problem(key="metric.names", what=what, hint=hint)
            elif count > 1:
                what = f"has {count} metrics named {module}, whose scores would clash"
                yield Problem(key="metric.names", what=what, hint="Rename one of the folders.")

    def _kwargs_problems(self) -> Iterator[Problem]:
        modules = [metric.module_name for metric in evaluate_metrics(self.names)]
        for name, kwargs in self.evaluate_kwargs.items():
            key = f"metric.evaluate_kwargs.{name}"
            if name not in modules:
                known = nearest(str(name), modules) or (
                    f"There are {', '.join(modules)}." if modules else None
                )
                what = f"has no effect: metric.names has no {PREFIX}{name}"
                yield Problem(key=key, what=what, hint=known)
            elif not isinstance(kwargs, Mapping):
                what = f"must be arguments by name, not {kwargs!r}"
                yield Problem(key=key, what=what, hint=f"Write {key}.NAME=VALUE")

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
