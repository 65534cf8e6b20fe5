"""Score table of the reports, with intervals and baselines."""

from __future__ import annotations

from dataclasses import dataclass

from summexp.metrics.score import GEN_LEN, LOSS, Score
from summexp.reports.run_results import RunResults


def set_title(set_name: str) -> str:
    """Return how a set is called on a page.

    >>> set_title("eval_news")
    'Validation: news'
    """
    phase, _, name = set_name.partition("_")
    title = {"eval": "Validation", "predict": "Test"}[phase]
    return f"{title}: {name}" if name else title


@dataclass(frozen=True)
class ScoreRow:
    """One score of a set, as its table shows it."""

    score: Score
    """The score."""

    @property
    def label(self) -> str:
        """The name that papers use."""
        return self.score.label

    @property
    def shown(self) -> str:
        """The value with its unit."""
        return f"{self.score.value:.2f}{self._unit}"

    @property
    def interval(self) -> str:
        """The interval with its unit, or nothing."""
        low, high = self.score.low, self.score.high
        return "" if low is None or high is None else f"{low:.2f} to {high:.2f}{self._unit}"

    @property
    def baseline(self) -> str:
        """The baseline's score, or nothing."""
        return "" if self.score.baseline is None else f"{self.score.baseline:.2f}"

    @property
    def has_scale(self) -> bool:
        """Whether it can be drawn on a line from 0 to 100."""
        lowest = min(self.score.value, self.score.low or 0.0)
        return self.score.maximum == 100 and lowest >= 0

    @property
    def _unit(self) -> str:
        return f" {self.score.unit}" if self.score.unit else ""


@dataclass(frozen=True, kw_only=True)
class ScoreTable:
    """The scores of one set."""

    set_name: str
    """`eval`, `eval_<name>` or `predict`."""
    rows: tuple[ScoreRow, ...]
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
        return next((row.score for row in self.rows if row.score.name == "rougeL"), None)


def score_tables(results: RunResults) -> list[ScoreTable]:
    """Return a table for each validation set, then one for the test split."""
    names = dict.fromkeys([*results.evaluated, *(score.set for score in results.scores)])
    ordered = sorted(names, key=lambda name: name == "predict")
    return [_table(results, name) for name in ordered]


def _table(results: RunResults, set_name: str) -> ScoreTable:
    scores = {score.name: score for score in results.scores if score.set == set_name}
    loss, gen_len = scores.pop(LOSS.name, None), scores.pop(GEN_LEN.name, None)
    confidence = results.option("metric.confidence") or 0.95
    has_intervals = any(score.low is not None for score in scores.values())
    lead = next((score.baseline_name for score in scores.values() if score.baseline_name), None)
    counts = results.evaluated.get(set_name, {})
    return ScoreTable(
        set_name=set_name,
        rows=tuple(map(ScoreRow, scores.values())),
        interval_name=f"{100 * confidence:g} % interval" if has_intervals else None,
        baseline_name=lead.replace("lead", "lead-") if lead else None,
        samples=counts.get("samples"),
        scored=counts.get("scored"),
        skipped=counts.get("skipped"),
        loss=None if loss is None else loss.value,
        gen_len=None if gen_len is None else gen_len.value,
    )
