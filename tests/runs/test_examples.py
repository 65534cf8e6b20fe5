"""Which rows a report shows."""

from __future__ import annotations

from datasets import Dataset

from summexp.evaluation.evaluate import EvaluationResult, EvaluationSet
from summexp.runs.examples import choose_examples


def chosen(
    scores: dict[str, list[float]], rows: list[tuple[str, str | None]]
) -> list[tuple[str, str, str | None]]:
    """Return kind, id and ranking score of each example of rows `(document, summary)`."""
    table = Dataset.from_dict(
        {
            "id": [f"r{number}" for number in range(len(rows))],
            "document": [document for document, _ in rows],
            "summary": [summary for _, summary in rows],
        }
    )
    found = EvaluationResult({}, [f"p{number}" for number in range(len(rows))], scores)
    examples = choose_examples(EvaluationSet("eval", table, table, None), found)
    for example in examples:
        assert example["prediction"] == f"p{example['id'][1:]}"
        assert example["set"] == "eval"
    return [(one["kind"], one["id"], one["ranked_by"]) for one in examples]


def test_the_best_and_the_worst_of_all_rows_are_chosen() -> None:
    rouge = [50.0, 10.0, 90.0, 30.0, 70.0, 20.0, 60.0, 40.0]
    rows: list[tuple[str, str | None]] = [("text", "short")] * 8
    picked = chosen({"rouge1": [0.0] * 8, "rougeL": rouge}, rows)
    assert [(kind, name) for kind, name, _ in picked] == [
        *[("best", "r2"), ("best", "r4"), ("best", "r6")],
        *[("worst", "r1"), ("worst", "r5"), ("worst", "r3")],
    ]
    assert {by for *_, by in picked} == {"rougeL"}


def test_of_equal_scores_the_earlier_row_comes_first_and_no_row_twice() -> None:
    rows: list[tuple[str, str | None]] = [("text", "short")] * 5
    picked = chosen({"rougeL": [7.0] * 5}, rows)
    assert [(kind, name) for kind, name, _ in picked] == [
        *[("best", "r0"), ("best", "r1"), ("best", "r2")],
        *[("worst", "r3"), ("worst", "r4")],
    ]
    assert chosen({"rougeL": [7.0]}, rows[:1]) == [("best", "r0", "rougeL")]


def test_rows_that_are_not_scored_are_not_ranked() -> None:
    rows = [("text", None), ("text", "short"), (" ", "short"), ("text", "short")]
    picked = chosen({"rougeL": [1.0, 9.0]}, rows)
    assert picked == [("best", "r3", "rougeL"), ("worst", "r1", "rougeL")]


def test_without_rouge_bertscore_ranks_and_without_scores_the_first_rows_are_taken() -> None:
    rows: list[tuple[str, str | None]] = [("text", "short")] * 2
    scores = {"compression": [1.0, 2.0], "bertscore_f1": [80.0, 90.0]}
    assert [by for *_, by in chosen(scores, rows)] == ["bertscore_f1", "bertscore_f1"]
    assert chosen({"compression": [1.0, 2.0]}, rows) == [
        ("first", "r0", None),
        ("first", "r1", None),
    ]
    assert [kind for kind, *_ in chosen({}, [("text", None)] * 5)] == ["first"] * 3


def test_a_document_is_recorded_in_part_with_its_line_ends() -> None:
    table = Dataset.from_dict({"id": ["a"], "document": ["A:\n" * 900], "summary": ["short"]})
    found = EvaluationResult({}, ["p"], {"rougeL": [5.0]})
    (example,) = choose_examples(EvaluationSet("predict", table, table, None), found)
    assert example["document"] == "A:\n" * 200
    assert example["scores"] == {"rougeL": 5.0}
