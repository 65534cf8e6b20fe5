"""Terminal tables of systems that were scored side by side.

Tested in tests/verbs/test_score.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from summexp.metrics.score import Score
from summexp.reports.scores import ScoreRow, ScoreTable
from summexp.reports.terminal import score_grid


def print_systems(
    systems: Mapping[str, Sequence[Score]],
    counts: Mapping[str, int],
    *,
    confidence: float,
    signature: str,
    console: Console,
) -> None:
    """Print the scores of one system, or those of several below each other, score by score.

    Args:
        systems: name to scores, all of the same rows.
        counts: `samples`, and where these are not all and not none, `scored` and `skipped`.
        confidence: width of the intervals.
        signature: how the scores were computed; it is never broken into lines.
        console: where to print.
    """
    tables = {name: _table(scores, counts, confidence) for name, scores in systems.items()}
    (title, first), *others = tables.items()
    if others:
        console.print(Text(f"{len(tables)} systems, {first.note}"), soft_wrap=True)
        console.print(_side_by_side(tables))
    else:
        console.print(score_grid(first, title))
    console.print()
    console.print(Text(f"signature  {signature}"), soft_wrap=True)


def _table(scores: Sequence[Score], counts: Mapping[str, int], confidence: float) -> ScoreTable:
    has_intervals = any(score.low is not None for score in scores)
    lead = next((score.baseline_name for score in scores if score.baseline_name), None)
    return ScoreTable(
        set_name="predict",
        rows=tuple(map(ScoreRow, scores)),
        interval_name=f"{100 * confidence:g} % interval" if has_intervals else None,
        baseline_name=lead.replace("lead", "lead-") if lead else None,
        samples=counts.get("samples"),
        scored=counts.get("scored"),
        skipped=counts.get("skipped"),
        loss=None,
        gen_len=None,
    )


def _side_by_side(tables: Mapping[str, ScoreTable]) -> Table:
    """Return a line for each system under each score; the best value is bold."""
    first = next(iter(tables.values()))
    grid = Table(box=None, padding=(0, 2, 0, 1), header_style="dim")
    grid.add_column("score", no_wrap=True)
    grid.add_column("system", overflow="fold")
    grid.add_column("value", justify="right", no_wrap=True)
    if first.interval_name:
        grid.add_column(first.interval_name, justify="right", no_wrap=True)
    names = dict.fromkeys(row.score.name for table in tables.values() for row in table.rows)
    for name in names:
        rows = {
            system: row
            for system, table in tables.items()
            for row in table.rows
            if row.score.name == name
        }
        best = _best([row.score for row in rows.values()])
        label = next(iter(rows.values())).label
        for system, row in rows.items():
            style = "bold" if row.score.value == best else ""
            interval = [row.interval] if first.interval_name else []
            grid.add_row(label, Text(system), Text(row.shown, style), *interval)
            label = ""
        baseline = next(iter(rows.values())).baseline
        if baseline and first.baseline_name:
            grid.add_row("", first.baseline_name, baseline, style="dim")
    return grid


def _best(scores: Sequence[Score]) -> float | None:
    """Return the best value, where more or less is better."""
    better = scores[0].higher_is_better
    if better is None:
        return None
    return (max if better else min)(score.value for score in scores)
