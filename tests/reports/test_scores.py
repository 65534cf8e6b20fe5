from collections.abc import Callable
from pathlib import Path

import pytest
from tests.reports.conftest import score

from summexp.reports.run_results import read_run
from summexp.reports.scores import score_tables

MakeRun = Callable[..., Path]


@pytest.mark.parametrize(
    "name",
    ["lead1", "lead3", "lead3_rougeL", "rouge", "loss", "low", "a_low", "rouge1", "scored", "검증"],
)
def test_a_set_may_have_the_name_of_a_score(name: str, make_run: MakeRun) -> None:
    mine, other = f"eval_{name}", "eval_other"
    scores = [
        score("loss", 1.5, of=mine),
        score("rougeL", 20.0, 19.0, 21.0, lead=("lead1", 12.0), of=mine),
        score("rougeL", 30.0, of=other),
    ]
    evaluated = {mine: {"samples": 9, "scored": 7}, other: {"samples": 9}}
    first, second = score_tables(read_run(make_run(scores=scores, evaluated=evaluated)))
    assert (first.title, second.title) == (f"Validation: {name}", "Validation: other")
    (row,) = first.rows
    assert row.score.value == 20.0
    assert (row.shown, row.interval, row.baseline) == ("20.00", "19.00 to 21.00", "12.00")
    assert (first.loss, first.scored, first.baseline_name) == (1.5, 7, "lead-1")
    assert [row.shown for row in second.rows] == ["30.00"]


def test_a_table_holds_value_interval_and_baseline(run_folder: Path) -> None:
    (table,) = score_tables(read_run(run_folder))
    assert (table.title, table.interval_name, table.baseline_name) == (
        "Validation",
        "95 % interval",
        "lead-1",
    )
    assert [(r.label, r.shown, r.interval, r.baseline) for r in table.rows] == [
        ("ROUGE-1", "71.23", "69.50 to 72.90", "30.10"),
        ("ROUGE-2", "55.50", "53.00 to 57.80", "14.20"),
        ("ROUGE-L", "66.67", "64.90 to 68.30", "27.30"),
        ("ROUGE-Lsum", "66.67", "64.90 to 68.30", "27.30"),
    ]
    assert table.note == "300 rows, loss 0.988, 13.2 tokens a summary"


def test_the_rows_that_are_scored_are_reported_where_they_are_not_all(make_run: MakeRun) -> None:
    evaluated = {"predict": {"samples": 11, "scored": 7}}
    scores = [score("rouge1", 50.0, of="predict")]
    (table,) = score_tables(read_run(make_run(scores=scores, evaluated=evaluated)))
    assert table.note == "11 rows, 7 of them scored"


def test_every_score_is_shown_in_its_unit(make_run: MakeRun) -> None:
    scores = [
        score("bertscore_f1", 88.123),
        score("length_ratio", 1.234, 1.2, 1.3),
        score("compression", -25.0),
        score("novel_1grams", 12.4, 11.0, 13.0),
    ]
    (table,) = score_tables(read_run(make_run(scores=scores)))
    shown = [(r.label, r.shown, r.interval, r.score.quality, r.has_scale) for r in table.rows]
    assert shown == [
        ("BERTScore F1", "88.12", "", True, True),
        ("length / reference", "1.23", "1.20 to 1.30", False, False),
        ("compression", "-25.00 %", "", False, False),
        ("new 1-grams", "12.40 %", "11.00 to 13.00 %", False, True),
    ]


def test_validation_sets_keep_their_order_and_come_before_the_test(make_run: MakeRun) -> None:
    scores = [
        score("rougeL", 20.0, of="eval_web"),
        score("rougeL", 30.0, lead=("lead3", 35.0), of="eval_news"),
    ]
    evaluated = {name: {"samples": 200} for name in ("predict", "eval_web", "eval_news")}
    folder = make_run(config="metric: {confidence: 0.9}", scores=scores, evaluated=evaluated)
    tables = score_tables(read_run(folder))
    assert [table.title for table in tables] == ["Validation: web", "Validation: news", "Test"]
    web, news, test = tables
    assert (web.baseline_name, web.interval_name, web.verdict) == (None, None, None)
    assert (news.baseline_name, news.rows[0].baseline) == ("lead-3", "35.00")
    assert (test.rows, test.note) == ((), "200 rows")


@pytest.mark.parametrize(
    ("baseline", "verdict"),
    [(39.9, "is above"), (41.0, "is not clearly above"), (45.1, "is below")],
)
def test_the_verdict_takes_the_interval_into_account(
    make_run: MakeRun, baseline: float, verdict: str
) -> None:
    scores = [score("rougeL", 42.0, 40.0, 45.0, lead=("lead1", baseline))]
    (table,) = score_tables(read_run(make_run(scores=scores)))
    expected = f"The model {verdict} the lead-1 baseline (ROUGE-L 42.00, lead-1 {baseline:.2f})."
    assert table.verdict == expected


def test_the_confidence_of_the_config_names_the_intervals(make_run: MakeRun) -> None:
    folder = make_run(config="metric: {confidence: 0.9}")
    assert score_tables(read_run(folder))[0].interval_name == "90 % interval"
