"""Score records, and their flat names in result files, logs and trackers.

Tested in tests/metrics/test_scorer.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

from summexp.metrics.metric import ScoreInfo


class Estimate(NamedTuple):
    """A score over all rows."""

    value: float
    """The score."""
    low: float | None = None
    """Lower end of its interval; None where it was not resampled."""
    high: float | None = None
    """Upper end of its interval."""


BASELINES = ("lead1", "lead3")
"""The document's first sentence, and its first three, scored as if they were the summary."""


class Baseline(NamedTuple):
    """The scores of the documents' first sentences."""

    name: str
    """One of `BASELINES`."""
    scores: Mapping[str, float]
    """Score name to value."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A score of an evaluated set, as `run.json` records it."""

    set: str
    """`eval`, `eval_<name>` where there are several validation sets, or `predict`."""
    metric: str
    """What computes it, such as `rouge`."""
    name: str
    """As in the result files: `rougeL`."""
    label: str
    """As in papers and tables: `ROUGE-L`."""
    value: float
    """The score."""
    low: float | None = None
    """Lower end of its interval; None where there is none."""
    high: float | None = None
    """Upper end of its interval."""
    baseline: float | None = None
    """The same score of the documents' first sentences; None where there is none."""
    baseline_name: str | None = None
    """One of `BASELINES`."""
    unit: str = ""
    """What follows the number, such as `%`."""
    higher_is_better: bool | None = None
    """None where neither more nor less is better by itself, or where that is not known."""
    maximum: float | None = None
    """The largest value that it can have; None where there is none, or where it is not known."""
    quality: bool = False
    """Whether it measures how good the summaries are, and does not only describe them."""


COUNTS = (
    "samples",
    "scored",
    "skipped",
    "runtime",
    "samples_per_second",
    "steps_per_second",
)
"""Further flat names that are prefixed with the name of a set."""
LOSS = ScoreInfo(name="loss", label="loss", higher_is_better=False)
"""The mean loss over the target tokens, in nats."""
GEN_LEN = ScoreInfo(name="gen_len", label="length", unit="tokens", higher_is_better=None)
"""The mean length of the summaries."""


def score_of(
    set_name: str,
    info: ScoreInfo,
    estimate: Estimate,
    *,
    metric: str | None = None,
    baseline: Baseline | None = None,
) -> Score:
    """Return the record of a score.

    Args:
        set_name: of the evaluated set, such as `eval_news`.
        info: what is known of it.
        estimate: its value.
        metric: what computed it; called as the score is, where not given.
        baseline: of the set; may lack this score.
    """
    lead = None if baseline is None else baseline.scores.get(info.name)
    return Score(
        set=set_name,
        metric=metric or info.name,
        **vars(info),
        **estimate._asdict(),
        baseline=lead,
        baseline_name=None if baseline is None or lead is None else baseline.name,
    )


def flat_name(set_name: str, score_name: str) -> str:
    """Return the flat name of a score of a set.

    >>> flat_name("eval_news", "rougeL")
    'eval_news_rougeL'
    """
    return f"{set_name}_{score_name}"


def names_of(score_name: str, *, baseline: bool = True) -> list[str]:
    """Return the flat names that a score may have, without the name of its set."""
    leads = [f"{lead}_{score_name}" for lead in BASELINES] if baseline else []
    return [score_name, f"{score_name}_low", f"{score_name}_high", *leads]


def flat_numbers(score: Score) -> Iterator[tuple[str, float]]:
    """Yield each number of a score under its flat name, as Hugging Face's tools write metrics.

    These are `eval_rougeL`, `eval_rougeL_low`, `eval_rougeL_high` and `eval_lead1_rougeL`. They are
    for whoever reads flat names; nothing here reads them back.
    """
    key = flat_name(score.set, score.name)
    yield key, score.value
    if score.low is not None and score.high is not None:
        yield f"{key}_low", score.low
        yield f"{key}_high", score.high
    if score.baseline is not None:
        yield flat_name(score.set, f"{score.baseline_name}_{score.name}"), score.baseline


def flat(scores: Iterable[Score]) -> dict[str, float]:
    """Return all numbers of some scores under their flat names."""
    return {key: value for score in scores for key, value in flat_numbers(score)}
