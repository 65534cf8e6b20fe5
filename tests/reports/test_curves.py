import math
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reports.conftest import score

from summexp.reports.curves import charts, nice_ticks
from summexp.reports.run_results import read_run

MakeRun = Callable[..., Path]


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 300, [0, 100, 200, 300]),
        (0.31, 4.2, [0, 1, 2, 3, 4, 5]),
        (27.3, 66.7, [20, 30, 40, 50, 60, 70]),
        (2.0, 2.0, [1.5, 2.0, 2.5]),
        (1e-4, 4e-4, [1e-4, 2e-4, 3e-4, 4e-4]),
    ],
)
def test_nice_ticks(low: float, high: float, ticks: list[float]) -> None:
    assert nice_ticks(low, high) == pytest.approx(ticks)


def test_losses_and_scores_share_the_steps(run_folder: Path) -> None:
    loss, rouge = charts(read_run(run_folder))
    assert [line.label for line in loss.lines] == ["Training", "Validation"]
    assert [line.label for line in rouge.lines] == ["Validation"]
    assert [tick.label for tick in loss.x_ticks] == ["0", "100", "200", "300"]
    assert loss.x_ticks == rouge.x_ticks
    assert [rule.label for rule in rouge.rules] == ["lead-1"]
    # Step 300 is at the right end; 38.5 and 66.7 lie on an axis from 20 to 70.
    first, last = rouge.lines[0].marks
    assert (last.x, last.text) == (rouge.right, "Validation, step 300: 66.7")
    height = rouge.bottom - rouge.top
    assert first.y == pytest.approx(rouge.bottom - height * 18.5 / 50)
    assert rouge.rules[0].at == pytest.approx(rouge.bottom - height * 7.3 / 50)


def test_values_that_are_not_finite_are_left_out(make_run: MakeRun) -> None:
    losses = [3.0, math.nan, 2.0, math.inf]
    history = [{"step": 10 * n, "loss": loss} for n, loss in enumerate(losses, 1)]
    (chart,) = charts(read_run(make_run(history=history)))
    assert [mark.text for mark in chart.lines[0].marks] == [
        "Training, step 10: 3",
        "Training, step 30: 2",
    ]


def test_a_step_logged_again_replaces_the_first(make_run: MakeRun) -> None:
    history = [{"step": 1, "loss": 3.0}, {"step": 2, "loss": 9.0}, {"step": 2, "loss": 1.0}]
    (chart,) = charts(read_run(make_run(history=history)))
    assert [mark.text for mark in chart.lines[0].marks][1] == "Training, step 2: 1"


def test_one_point_makes_no_chart(make_run: MakeRun) -> None:
    history = [{"step": 5, "loss": 3.0, "eval_rougeL": 1.0}]
    assert charts(read_run(make_run(history=history))) == []


def test_many_points_become_means(make_run: MakeRun) -> None:
    history = [{"step": n, "loss": float(n % 2)} for n in range(1, 1001)]
    (chart,) = charts(read_run(make_run(history=history)))
    points = chart.lines[0].points.split()
    assert len(points) == 334
    assert chart.lines[0].marks == ()


def test_several_validation_sets_are_distinguished(make_run: MakeRun) -> None:
    history = [
        {"step": step, "eval_a_rougeL": 10.0 + step, "eval_b_rougeL": 20.0} for step in (1, 2)
    ]
    scores = [
        score("rougeL", 12.0, lead=("lead1", 5.0), of="eval_a"),
        score("rougeL", 3.0, lead=("lead1", 1.0), of="predict"),
    ]
    config = "data: {validation_files: {a: a.csv, b: b.csv}}"
    (chart,) = charts(read_run(make_run(config=config, history=history, scores=scores)))
    assert [line.label for line in chart.lines] == ["Validation: a", "Validation: b"]
    assert [rule.label for rule in chart.rules] == ["lead-1, Validation: a"]
