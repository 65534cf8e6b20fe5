"""The table of scores: each with its interval and its baseline, the same on every page."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from summexp.metrics.config import NGRAMS, SCORES
from summexp.reports.run_results import RunResults

LABELS: Mapping[str, str] = {
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "rougeL": "ROUGE-L",
    "rougeLsum": "ROUGE-Lsum",
    "bertscore_f1": "BERTScore F1",
    "bertscore_precision": "BERTScore precision",
    "bertscore_recall": "BERTScore recall",
    "length_ratio": "length / reference",
    "compression": "compression",
    **{f"novel_{n}grams": f"new {n}-grams" for n in NGRAMS},
    **{f"repeated_{n}grams": f"repeated {n}-grams" for n in NGRAMS},
}
"""Score name to the name that papers use, in the order of the table."""

QUALITY = (*SCORES["rouge"], *SCORES["bertscore"])
"""Scores of the quality of a summary."""
_PERCENT = (*SCORES["compression"], *SCORES["novelty"], *SCORES["repetition"])

_METRIC = (
    r"(?:_(?P<lead>lead\d+))?"
    rf"_(?P<name>{'|'.join(LABELS)}|loss|gen_len|samples|scored|skipped)(?:_(?P<bound>low|high))?"
)
_ANY_SET = r"(?:eval|predict)(?:_.+?)??"


class MetricKey(NamedTuple):
    """The parts of a metric's name."""

    set_name: str
    """`eval`, `eval_<name>` or `predict`."""
    name: str
    """Score name, `loss`, `gen_len`, `samples`, `scored` or `skipped`."""
    lead: str | None = None
    """`lead1` or `lead3` where it is the baseline's score."""
    bound: str | None = None
    """`low` or `high` where it is an end of the interval."""


def parse_key(key: str, sets: Sequence[str] = ()) -> MetricKey | None:
    """Take a metric's name apart, or return None where it is none of an evaluated set.

    Args:
        key: the metric's name.
        sets: the sets that are known, such as `eval_news`. The name of another is guessed, which
            goes wrong for one that is called `lead1`.

    >>> parse_key("eval_news_lead1_rougeL")
    MetricKey(set_name='eval_news', name='rougeL', lead='lead1', bound=None)
    >>> parse_key("eval_lead1_rougeL", ["eval_lead1"])
    MetricKey(set_name='eval_lead1', name='rougeL', lead=None, bound=None)
    """
    for one in (*map(re.escape, sets), _ANY_SET):
        if match := re.fullmatch(rf"(?P<set>{one}){_METRIC}", key):
            return MetricKey(match["set"], match["name"], match["lead"], match["bound"])
    return None


def metric_keys(results: RunResults, names: Iterable[str]) -> Iterator[tuple[str, MetricKey]]:
    """Yield each name that is of a metric of an evaluated set, with its parts."""
    several = results.option("data.validation_files") or {}
    sets = [f"eval_{name}" for name in several]
    for name in names:
        if parts := parse_key(name, sets):
            yield name, parts


def set_title(set_name: str) -> str:
    """Return how a set is called on a page.

    >>> set_title("eval_news")
    'Validation: news'
    """
    phase, _, name = set_name.partition("_")
    title = {"eval": "Validation", "predict": "Test"}[phase]
    return f"{title}: {name}" if name else title


@dataclass(frozen=True, kw_only=True)
class Score:
    """One score over all rows of a set; all values 0 to 100, but the ratio of lengths."""

    name: str
    """As in the metrics: `rougeL`."""
    value: float
    """The score."""
    low: float | None = None
    """Lower end of the interval."""
    high: float | None = None
    """Upper end of the interval."""
    baseline: float | None = None
    """The same score of the documents' first sentences."""

    @property
    def label(self) -> str:
        """The name that papers use."""
        return LABELS[self.name]

    @property
    def unit(self) -> str:
        """What follows the number: nothing for a score or a ratio, a percent sign for a share."""
        return " %" if self.name in _PERCENT else ""

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return f"{self.value:.2f}{self.unit}"

    @property
    def interval(self) -> str:
        """The interval as text, or nothing."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low:.2f} to {self.high:.2f}{self.unit}"

    @property
    def is_quality(self) -> bool:
        """Whether it measures how good the summaries are: ROUGE and BERTScore, 0 to 100."""
        return self.name in QUALITY

    @property
    def has_scale(self) -> bool:
        """Whether it can be drawn on a line from 0 to 100."""
        return self.name in (*QUALITY, *_PERCENT) and min(self.value, self.low or 0.0) >= 0


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """The scores of one set."""

    set_name: str
    """`eval`, `eval_<name>` or `predict`."""
    rows: tuple[Score, ...]
    """None where nothing was generated, or where there are no references."""
    interval_name: str | None
    """Head of the intervals' column, `95 % interval`; None where there are none."""
    baseline_name: str | None
    """Head of the baseline's column, `lead-1` or `lead-3`; None where there is none."""
    samples: int | None
    """Rows of the set."""
    scored: int | None
    """Of these, rows with a document and a reference, which the scores are of; None where all."""
    skipped: int | None
    """Of these, rows without a document, for which nothing was generated; None where none is."""
    loss: float | None
    """Mean loss over its target tokens."""
    gen_len: float | None
    """Mean length of its summaries in tokens."""

    @property
    def title(self) -> str:
        """What the set is called on a page."""
        return set_title(self.set_name)

    @property
    def note(self) -> str:
        """One line of what is known beside the scores."""
        parts = [
            None if self.samples is None else f"{self.samples:,} rows",
            None if self.scored is None else f"{self.scored:,} of them scored",
            None if self.skipped is None else f"{self.skipped:,} skipped",
            None if self.loss is None else f"loss {self.loss:.3f}",
            None if self.gen_len is None else f"{self.gen_len:.1f} tokens a summary",
        ]
        return ", ".join(part for part in parts if part)

    @property
    def standing(self) -> str | None:
        """How ROUGE-L stands to the baseline: `above`, `below`, `not clearly above`, `not above`.

        None where either is missing.
        """
        score = self._ranked
        if score is None or score.baseline is None:
            return None
        if score.low is None or score.high is None:
            return "above" if score.baseline < score.value else "not above"
        if score.baseline < score.low:
            return "above"
        return "below" if score.baseline > score.high else "not clearly above"

    @property
    def verdict(self) -> str | None:
        """A sentence on ROUGE-L and the baseline, or None where either is missing."""
        score = self._ranked
        if score is None or score.baseline is None:
            return None
        numbers = f"ROUGE-L {score.value:.2f}, {self.baseline_name} {score.baseline:.2f}"
        return f"The model is {self.standing} the {self.baseline_name} baseline ({numbers})."

    @property
    def _ranked(self) -> Score | None:
        return next((row for row in self.rows if row.name == "rougeL"), None)


def score_tables(results: RunResults) -> list[ScoreTable]:
    """Return a table for each validation set, then one for the test split."""
    sets: dict[str, dict[MetricKey, float]] = {}
    for key, parts in metric_keys(results, results.metrics):
        sets.setdefault(parts.set_name, {})[parts] = results.metrics[key]
    names = sorted(sets, key=lambda name: name == "predict")
    return [_table(name, sets[name], results.option("metric.confidence") or 0.95) for name in names]


def _table(set_name: str, values: Mapping[MetricKey, float], confidence: float) -> ScoreTable:
    lead = next((key.lead for key in values if key.lead), None)

    def value(name: str, lead: str | None = None, bound: str | None = None) -> float | None:
        return values.get(MetricKey(set_name, name, lead, bound))

    rows = tuple(
        Score(
            name=name,
            value=score,
            low=value(name, bound="low"),
            high=value(name, bound="high"),
            baseline=value(name, lead) if lead else None,
        )
        for name in LABELS
        if (score := value(name)) is not None
    )
    samples, scored, skipped = value("samples"), value("scored"), value("skipped")
    return ScoreTable(
        set_name=set_name,
        rows=rows,
        interval_name=f"{100 * confidence:g} % interval" if any(r.interval for r in rows) else None,
        baseline_name=lead.replace("lead", "lead-") if lead else None,
        samples=None if samples is None else int(samples),
        scored=None if scored is None else int(scored),
        skipped=None if skipped is None else int(skipped),
        loss=value("loss"),
        gen_len=value("gen_len"),
    )
