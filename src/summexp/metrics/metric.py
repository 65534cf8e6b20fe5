"""Base class of metrics: scores, computation and requirements.

A metric is one object in a module of its own, listed in `summexp.metrics.registry`. These modules
are imported wherever a config is read: what is heavy is imported where it is used.

Tested in tests/metrics/test_scorer.py.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar

from summexp.errors import Problem

if TYPE_CHECKING:
    import torch

    from summexp.metrics.config import MetricConfig
    from summexp.metrics.rouge import Text
    from summexp.metrics.tokenized_texts import TokenizedTexts

Values = Sequence[float] | float
"""One value a row, of which the score is the mean; or, of a score that is no mean, its value."""


@dataclass(frozen=True, kw_only=True)
class ScoreInfo:
    """What is known of a score before it is computed."""

    name: str
    """As in the result files: `rougeL`."""
    label: str
    """As in papers and tables: `ROUGE-L`."""
    unit: str = ""
    """What follows the number, such as `%`."""
    higher_is_better: bool | None
    """None where neither more nor less is better by itself, or where that is not known."""
    maximum: float | None = None
    """The largest value that it can have; None where there is none, or where it is not known."""
    quality: bool = False
    """Whether it measures how good a summary is, and does not only describe it."""


@dataclass(frozen=True)
class Summaries:
    """The summaries to score, row by row."""

    predictions: Sequence[str]
    references: Sequence[Sequence[str]]
    """At least one a row."""
    documents: Sequence[str] | None
    """None where there are none."""
    texts: TokenizedTexts
    """Splits texts into sentences and words."""

    @cached_property
    def tokenized(self) -> list[Text]:
        """The predictions in words, stemmed where ROUGE stems them."""
        return [self.texts.text(text) for text in self.predictions]

    @cached_property
    def words(self) -> list[array[int]]:
        """The words of the predictions, not stemmed, as numbers that stand for them."""
        return [self.texts.words_of_summary(text) for text in self.predictions]

    @cached_property
    def document_words(self) -> list[array[int]]:
        """The words of the documents, likewise."""
        assert self.documents is not None
        return [self.texts.words_of_document(text) for text in self.documents]


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What a metric is prepared for."""

    config: MetricConfig
    """The `metric` group."""
    language: str
    """Code of the summaries' language."""
    device: torch.device | str
    """Where models run that score."""
    tiny: bool
    """Whether random weights take the place of trained ones."""


class Metric:
    """A metric: one or several scores that are computed together.

    A subclass sets `name` and `scores`, and computes them.
    """

    name: str
    """As in `metric.names`."""
    scores: tuple[ScoreInfo, ...]
    """In the order of every table."""
    needs_documents: ClassVar[bool] = False
    """Whether it cannot be computed without the documents."""
    runs_a_model: ClassVar[bool] = False
    """Whether it takes the device of the setting."""

    def check_options(self, config: MetricConfig) -> Iterator[Problem]:  # noqa: ARG002
        """Yield what is wrong with the metric's own options; they have no effect without it."""
        yield from ()

    def check_requirements(
        self,
        config: MetricConfig,  # noqa: ARG002
        language: str | None,  # noqa: ARG002
        *,
        offline: bool,  # noqa: ARG002
        tiny: bool,  # noqa: ARG002
    ) -> Iterator[Problem]:
        """Yield what it lacks on this machine, as far as that shows without heavy imports.

        Args:
            config: the `metric` group, which has this metric.
            language: `data.language`; None where the references decide.
            offline: whether the Hub's cache is all there is.
            tiny: whether random weights take the place of trained ones.
        """
        yield from ()

    def prepare(self, setting: Setting) -> Metric:  # noqa: ARG002
        """Return the metric for a set of texts; this one, where it depends on nothing.

        Raises:
            ConfigError: it cannot be computed.
        """
        return self

    @property
    def signature(self) -> str | None:
        """What its numbers depend on beside the words, for the signature; None for nothing."""
        return None

    def load(self) -> None:
        """Load what is large, before the first row is scored.

        Raises:
            ConfigError: it cannot be loaded.
        """

    def compute(self, summaries: Summaries) -> Mapping[str, Values]:
        """Return the values of each score, by its name."""
        raise NotImplementedError


def columns(scores: Sequence[ScoreInfo], rows: Sequence[Sequence[float]]) -> dict[str, list[float]]:
    """Return the values of each score, given for each row the values of all."""
    return {score.name: [row[place] for row in rows] for place, score in enumerate(scores)}
