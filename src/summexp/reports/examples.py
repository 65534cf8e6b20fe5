"""Examples of a run, grouped: best and worst rows, or the first rows without scores.

Tested in tests/reports/test_report.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple

from summexp.metrics.registry import SCORES
from summexp.reports.run_results import Example
from summexp.reports.scores import set_title


class ExampleGroup(NamedTuple):
    """Examples that were chosen for the same reason."""

    title: str
    """The reason."""
    note: str
    """What else is to be known of the choice, or nothing."""
    examples: tuple[Example, ...]
    """The rows."""


def example_groups(examples: Sequence[Example]) -> list[ExampleGroup]:
    """Return the examples, grouped in the order in which they are recorded."""
    groups = []
    for (kind, ranked_by), members in groupby(
        examples, key=lambda example: (example.kind, example.ranked_by)
    ):
        chosen = tuple(members)
        groups.append(ExampleGroup(_title(kind, ranked_by), _note(chosen), chosen))
    return groups


def scores_of(example: Example) -> str:
    """Return how good a row is in one line, the score that ranks it first; or nothing."""
    names = [name for name, one in SCORES.items() if one.quality and name in example.scores]
    names.sort(key=lambda name: name != example.ranked_by)
    return ", ".join(f"{SCORES[name].label} {example.scores[name]:.2f}" for name in names)


def _title(kind: str, ranked_by: str | None) -> str:
    if ranked_by is None:
        return "The first rows"
    label = SCORES[ranked_by].label if ranked_by in SCORES else ranked_by
    return f"{kind.capitalize()} by {label}"


def _note(examples: tuple[Example, ...]) -> str:
    first = examples[0]
    parts = [set_title(first.set_name)] if first.set_name else []
    if first.ranked_by is None and all(one.reference is None for one in examples):
        parts.append("without references no row is better than another")
    return "; ".join(parts)
