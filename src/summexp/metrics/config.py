"""How predictions are scored: the `metric` group of the config."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from pathlib import PurePath

from summexp.errors import ConfigError, Problem, nearest
from summexp.options import at_home, choice

NGRAMS = (1, 2, 3)
"""Lengths of the n-grams whose novelty and repetition are counted."""

SCORES: dict[str, tuple[str, ...]] = {
    "rouge": ("rouge1", "rouge2", "rougeL", "rougeLsum"),
    "bertscore": ("bertscore_f1", "bertscore_precision", "bertscore_recall"),
    "length_ratio": ("length_ratio",),
    "compression": ("compression",),
    "novelty": tuple(f"novel_{n}grams" for n in NGRAMS),
    "repetition": tuple(f"repeated_{n}grams" for n in NGRAMS),
}
"""What `metric.names` takes, and the scores that each computes, in the order of every table."""

LOWER_IS_BETTER = SCORES["repetition"]
"""Scores of which less is better."""
NEITHER_IS_BETTER = (*SCORES["length_ratio"], *SCORES["compression"], *SCORES["novelty"])
"""Scores that describe the summaries and do not judge them."""

BERTSCORE_LAYERS = {
    "bert-base-chinese": 8,
    "bert-base-multilingual-cased": 9,
    "bert-base-uncased": 9,
    "bert-large-uncased": 18,
    "deberta-base-mnli": 9,
    "deberta-large-mnli": 18,
    "deberta-xlarge-mnli": 40,
    "distilbert-base-uncased": 5,
    "roberta-base": 10,
    "roberta-large": 17,
    "xlm-roberta-base": 9,
    "xlm-roberta-large": 17,
}
"""Encoder, without its owner, to the layer that agrees best with human judgement, as the authors of
BERTScore measured it on WMT16 (`model2layers` of bert-score 0.3.13)."""


def bertscore_model(language: str) -> str:
    """Return the encoder for a language where the config names none: that of bert-score 0.3.13."""
    by_language = {"en": "FacebookAI/roberta-large", "zh": "google-bert/bert-base-chinese"}
    return by_language.get(language, "google-bert/bert-base-multilingual-cased")


def bertscore_layer(model: str, layer: int | None) -> int:
    """Return the layer whose vectors are compared: the given one, else the measured one.

    Raises:
        KeyError: neither is known.
    """
    return BERTSCORE_LAYERS[PurePath(model).name] if layer is None else layer


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
        problems = [*self._unknown_names(), *self._encoder_problems()]
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
        known = ", ".join(SCORES)
        if not self.names:
            yield Problem(key="metric.names", what="is empty", hint=f"Take any of {known}.")
        for name in self.names:
            if name not in SCORES:
                hint = f"Take any of {known}."
                near = nearest(name, SCORES)
                yield Problem(
                    key="metric.names",
                    what=f"there is no metric {name!r}",
                    hint=f"{near} {hint}" if near else hint,
                )

    def _encoder_problems(self) -> Iterator[Problem]:
        if self.bertscore_batch_size < 1:
            yield Problem(key="metric.bertscore_batch_size", what="must be at least 1")
        if self.bertscore_layer is not None and self.bertscore_layer < 1:
            yield Problem(key="metric.bertscore_layer", what="must be at least 1")
        if "bertscore" not in self.names:
            for spec in fields(self):
                if spec.name.startswith("bertscore_") and getattr(self, spec.name) != spec.default:
                    what, hint = "has no effect without BERTScore", "Choose metric=rouge_bertscore."
                    yield Problem(key=f"metric.{spec.name}", what=what, hint=hint)
        model = self.bertscore_model
        known = model is None or PurePath(model).name in BERTSCORE_LAYERS
        if "bertscore" in self.names and self.bertscore_layer is None and not known:
            yield Problem(
                key="metric.bertscore_layer",
                what=f"is required for {model}, whose best layer nobody measured",
                hint="About two thirds of the way up is usual: 8 of 12 layers, 16 of 24.",
            )
