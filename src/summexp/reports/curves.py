"""Training curves as points of an SVG."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import TypeAlias

from summexp.metrics.score import LOSS, flat_name
from summexp.reports.run_results import RunResults
from summexp.reports.scores import score_tables, set_title

WIDTH, HEIGHT = 480, 270
"""Size of a drawing in its own units."""
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 14, 12, 40
_MOST_POINTS = 400
_MOST_MARKS = 60

Series: TypeAlias = list[tuple[float, float]]
"""(step, value) by ascending step; every value finite."""


@dataclass(frozen=True, kw_only=True)
class Mark:
    """A point that shows its value when it is pointed at."""

    x: float
    y: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Line:
    """One curve."""

    label: str
    """What it shows."""
    points: str
    """`x,y x,y …`, as SVG's polyline takes them."""
    marks: tuple[Mark, ...]
    """Its points where they are few."""


@dataclass(frozen=True, kw_only=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


@dataclass(frozen=True, kw_only=True)
class Chart:
    """Curves over the training's steps that share their axes."""

    title: str
    lines: tuple[Line, ...]
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    rules: tuple[Tick, ...] = field(default=())
    """Horizontal lines: the baselines."""
    width: float = WIDTH
    height: float = HEIGHT
    left: float = _LEFT
    right: float = WIDTH - _RIGHT
    top: float = _TOP
    bottom: float = HEIGHT - _BOTTOM


def charts(results: RunResults) -> list[Chart]:
    """Return the chart of the losses and that of ROUGE-L, each if it has a curve of two points."""
    losses = {"Training": _series(results, "loss")}
    scores: dict[str, Series] = {}
    for set_name in _validation_sets(results):
        title = set_title(set_name)
        losses[title] = _series(results, flat_name(set_name, LOSS.name))
        scores[title] = _series(results, flat_name(set_name, "rougeL"))
    found = (_chart("Loss", losses), _chart("ROUGE-L", scores, _baselines(results)))
    return [chart for chart in found if chart is not None]


def _validation_sets(results: RunResults) -> list[str]:
    """Return the sets that are evaluated; those of the config, as not all may have been yet."""
    # debug=overfit evaluates the training rows.
    several = {} if results.option("debug.overfit") else results.option("data.validation_files")
    return [f"eval_{name}" for name in several or {}] or ["eval"]


def _baselines(results: RunResults) -> dict[str, float]:
    """Return the baselines of the validation sets, with the set's name where there are several."""
    several = len(_validation_sets(results)) > 1
    return {
        f"{table.baseline_name}, {table.title}" if several else table.baseline_name: baseline
        for table in score_tables(results)
        if table.set_name != "predict" and table.baseline_name
        for row in table.rows
        if row.score.name == "rougeL" and (baseline := row.score.baseline) is not None
    }


def _series(results: RunResults, key: str) -> Series:
    by_step = {
        row["step"]: row[key]
        for row in results.history
        if "step" in row and math.isfinite(row.get(key, math.nan))
    }
    return sorted(by_step.items())


def _chart(
    title: str, series: dict[str, Series], baselines: dict[str, float] | None = None
) -> Chart | None:
    thin = {label: _thinned(points) for label, points in series.items() if points}
    if not any(len(points) > 1 for points in thin.values()):
        return None
    rules = baselines or {}
    steps = [step for points in thin.values() for step, _ in points]
    values = [value for points in thin.values() for _, value in points] + list(rules.values())
    y_ticks = nice_ticks(min(values), max(values))
    # From step 0 on, so that charts of one run have the same axis.
    x_range = (0.0, max(steps))
    y_range = (y_ticks[0], y_ticks[-1])

    def x(step: float) -> float:
        return _between(step, x_range, _LEFT, WIDTH - _RIGHT)

    def y(value: float) -> float:
        return _between(value, y_range, HEIGHT - _BOTTOM, _TOP)

    return Chart(
        title=title,
        lines=tuple(
            Line(
                label=label,
                points=" ".join(f"{x(step):.1f},{y(value):.1f}" for step, value in points),
                marks=tuple(
                    Mark(x=x(step), y=y(value), text=f"{label}, step {step:,.0f}: {value:.4g}")
                    for step, value in (points if len(points) <= _MOST_MARKS else ())
                ),
            )
            for label, points in thin.items()
        ),
        x_ticks=tuple(
            Tick(at=x(tick), label=f"{tick:,g}")
            for tick in nice_ticks(*x_range)
            if tick.is_integer() and tick <= max(steps)
        ),
        y_ticks=tuple(Tick(at=y(tick), label=f"{tick:,g}") for tick in y_ticks),
        rules=tuple(Tick(at=y(value), label=label) for label, value in rules.items()),
    )


def nice_ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return at most `most` round numbers, evenly apart, that enclose `low` and `high`.

    >>> nice_ticks(0.3, 4.2)
    [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]
    """
    if low == high:
        low, high = low - 0.5, high + 0.5
    for step in _round_steps((high - low) / most):
        first, last = math.floor(low / step), math.ceil(high / step)
        if last - first < most:
            return [round(number * step, 10) for number in range(first, last + 1)]
    raise AssertionError("the steps grow without end")


def _round_steps(least: float) -> Iterable[float]:
    power = math.floor(math.log10(least))
    while True:
        yield from (factor * 10.0**power for factor in (1, 2, 5))
        power += 1


def _thinned(points: Series) -> Series:
    """Return means of neighbours where there are more points than a drawing can show."""
    size = -(-len(points) // _MOST_POINTS)
    groups: Sequence[Series] = [points[i : i + size] for i in range(0, len(points), size)]
    return [(fmean(s for s, _ in group), fmean(v for _, v in group)) for group in groups]


def _between(value: float, source: tuple[float, float], start: float, end: float) -> float:
    low, high = source
    share = 0.5 if low == high else (value - low) / (high - low)
    return start + share * (end - start)
