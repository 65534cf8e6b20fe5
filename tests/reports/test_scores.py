from collections.abc import Callable
from pathlib import Path

import pytest

from summexp.metrics.config import SCORES
from summexp.metrics.rouge import TYPES
from summexp.reports.run_results import read_run
from summexp.reports.scores import LABELS, MetricKey, parse_key, score_tables

MakeRun = Callable[..., Path]


def test_every_score_of_the_metric_has_a_label() -> None:
    assert list(LABELS) == [name for names in SCORES.values() for name in names]
    assert SCORES["rouge"] == TYPES


@pytest.mark.parametrize(
    ("key", "parts"),
    [
        ("eval_rougeL", MetricKey("eval", "rougeL")),
        ("eval_rougeLsum_low", MetricKey("eval", "rougeLsum", bound="low")),
        ("eval_lead3_rouge1", MetricKey("eval", "rouge1", lead="lead3")),
        ("eval_my_set_rougeL_high", MetricKey("eval_my_set", "rougeL", bound="high")),
        ("eval_my_set_lead1_rougeL", MetricKey("eval_my_set", "rougeL", lead="lead1")),
        ("eval_novel_2grams_low", MetricKey("eval", "novel_2grams", bound="low")),
        ("eval_long_length_ratio", MetricKey("eval_long", "length_ratio")),
        ("predict_gen_len", MetricKey("predict", "gen_len")),
        ("predict_scored", MetricKey("predict", "scored")),
        ("eval_samples_per_second", None),
        ("train_loss", None),
        ("epoch", None),
    ],
)
def test_parse_key(key: str, parts: MetricKey | None) -> None:
    assert parse_key(key) == parts


@pytest.mark.parametrize("name", ["lead1", "lead3", "loss", "low", "rouge1", "scored", "검증"])
def test_a_set_may_have_the_name_of_a_score(name: str, make_run: MakeRun) -> None:
    metrics = {
        f"eval_{name}_rougeL": 20.0,
        f"eval_{name}_rougeL_low": 19.0,
        f"eval_{name}_rougeL_high": 21.0,
        f"eval_{name}_lead1_rougeL": 12.0,
        f"eval_{name}_loss": 1.5,
        f"eval_{name}_scored": 7,
        "eval_other_rougeL": 30.0,
    }
    config = f"data: {{validation_files: {{{name}: a.csv, other: b.csv}}}}"
    mine, other = score_tables(read_run(make_run(config=config, metrics=metrics)))
    assert (mine.title, other.title) == (f"Validation: {name}", "Validation: other")
    (row,) = mine.rows
    assert (row.value, row.low, row.high, row.baseline) == (20.0, 19.0, 21.0, 12.0)
    assert (mine.loss, mine.scored, mine.baseline_name) == (1.5, 7, "lead-1")
    assert [row.value for row in other.rows] == [30.0]


def test_a_table_holds_value_interval_and_baseline(run_folder: Path) -> None:
    (table,) = score_tables(read_run(run_folder))
    assert (table.title, table.interval_name, table.baseline_name) == (
        "Validation",
        "95 % interval",
        "lead-1",
    )
    assert [(r.label, r.value, r.low, r.high, r.baseline) for r in table.rows] == [
        ("ROUGE-1", 71.2345678, 69.5, 72.9, 30.1),
        ("ROUGE-2", 55.5, 53.0, 57.8, 14.2),
        ("ROUGE-L", 66.6666, 64.9, 68.3, 27.3),
        ("ROUGE-Lsum", 66.6666, 64.9, 68.3, 27.3),
    ]
    assert table.rows[0].interval == "69.50 to 72.90"
    assert table.note == "300 rows, loss 0.988, 13.2 tokens a summary"


def test_the_rows_that_are_scored_are_reported_where_they_are_not_all(make_run: MakeRun) -> None:
    metrics = {"predict_rouge1": 50.0, "predict_samples": 11.0, "predict_scored": 7.0}
    (table,) = score_tables(read_run(make_run(metrics=metrics)))
    assert table.note == "11 rows, 7 of them scored"


def test_every_score_is_shown_in_its_unit(make_run: MakeRun) -> None:
    metrics = {
        "eval_bertscore_f1": 88.123,
        "eval_length_ratio": 1.234,
        "eval_length_ratio_low": 1.2,
        "eval_length_ratio_high": 1.3,
        "eval_compression": -25.0,
        "eval_novel_1grams": 12.4,
        "eval_novel_1grams_low": 11.0,
        "eval_novel_1grams_high": 13.0,
    }
    (table,) = score_tables(read_run(make_run(metrics=metrics)))
    shown = [(r.label, r.shown, r.interval, r.is_quality, r.has_scale) for r in table.rows]
    assert shown == [
        ("BERTScore F1", "88.12", "", True, True),
        ("length / reference", "1.23", "1.20 to 1.30", False, False),
        ("compression", "-25.00 %", "", False, False),
        ("new 1-grams", "12.40 %", "11.00 to 13.00 %", False, True),
    ]


def test_validation_sets_keep_their_order_and_come_before_the_test(make_run: MakeRun) -> None:
    metrics = {
        "predict_samples": 200,
        "eval_web_rougeL": 20.0,
        "eval_news_rougeL": 30.0,
        "eval_news_lead3_rougeL": 35.0,
    }
    config = "metric: {confidence: 0.9}"
    tables = score_tables(read_run(make_run(config=config, metrics=metrics)))
    assert [table.title for table in tables] == ["Validation: web", "Validation: news", "Test"]
    web, news, test = tables
    assert (web.baseline_name, web.interval_name, web.verdict) == (None, None, None)
    assert (news.baseline_name, news.rows[0].baseline) == ("lead-3", 35.0)
    assert (test.rows, test.note) == ((), "200 rows")


@pytest.mark.parametrize(
    ("baseline", "verdict"),
    [(39.9, "is above"), (41.0, "is not clearly above"), (45.1, "is below")],
)
def test_the_verdict_takes_the_interval_into_account(
    make_run: MakeRun, baseline: float, verdict: str
) -> None:
    metrics = {
        "eval_rougeL": 42.0,
        "eval_rougeL_low": 40.0,
        "eval_rougeL_high": 45.0,
        "eval_lead1_rougeL": baseline,
    }
    (table,) = score_tables(read_run(make_run(metrics=metrics)))
    expected = f"The model {verdict} the lead-1 baseline (ROUGE-L 42.00, lead-1 {baseline:.2f})."
    assert table.verdict == expected


def test_the_confidence_of_the_config_names_the_intervals(make_run: MakeRun) -> None:
    folder = make_run(config="metric: {confidence: 0.9}")
    assert score_tables(read_run(folder))[0].interval_name == "90 % interval"
