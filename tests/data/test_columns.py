from __future__ import annotations

import datetime
import logging
from dataclasses import replace
from unicodedata import normalize

import pytest

from summexp.data.columns import (
    KNOWN_PAIRS,
    Columns,
    Example,
    choose_columns,
    examples,
    is_blank,
    to_text,
)
from summexp.data.config import DataConfig
from summexp.errors import ConfigError


def choose(*names: str, needs_summary: bool = True, **config: str) -> tuple[str, str | None]:
    columns = choose_columns(
        names,
        DataConfig(**config),
        needs_summary=needs_summary,
        source="rows.csv",
        sample=lambda: {name: f"value of {name}" for name in names},
    )
    return columns.document, columns.summary


@pytest.mark.parametrize(("document", "summary"), KNOWN_PAIRS)
def test_a_known_pair_is_taken_wherever_it_stands_and_logged(
    document: str, summary: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert choose("url", summary.upper(), "title", document) == (document, summary.upper())
    assert f"using column {document!r} for documents" in caplog.text


def test_what_is_named_wins_and_is_not_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        chosen = choose(
            *("document", "summary", "dialogue", "section_text"),
            text_column="dialogue",
            summary_column="section_text",
        )
    assert chosen == ("dialogue", "section_text")
    assert not caplog.records


@pytest.mark.parametrize(
    ("names", "config", "chosen"),
    [
        (("x", "summary"), {"text_column": "x"}, ("x", "summary")),
        (("article", "x"), {"summary_column": "x"}, ("article", "x")),
        (("summary", "abstract", "dialogue"), {"text_column": "dialogue"}, ("dialogue", "summary")),
        (("text", "summary"), {"text_column": "summary", "summary_column": "text"}, None),
    ],
)
def test_the_other_half_is_found_by_its_name(
    names: tuple[str, ...], config: dict[str, str], chosen: tuple[str, str] | None
) -> None:
    assert choose(*names, **config) == (chosen or ("summary", "text"))


@pytest.mark.parametrize(
    ("names", "config", "reason"),
    [
        (("ID", "section_header", "section_text", "dialogue"), {}, "no known column names"),
        (("a", "b"), {}, "no known column names"),
        (("document", "article", "summary"), {}, "several pairs are possible"),
        (("article", "highlights", "abstract"), {}, "several pairs are possible"),
        (
            ("article", "highlights", "abstract"),
            {"text_column": "article"},
            "several pairs are possible",
        ),
        (("dialogue", "x"), {"text_column": "dialogue"}, "no known column names"),
        (("text", "Text", "summary"), {}, "several pairs are possible"),
    ],
)
def test_without_one_answer_the_run_stops_with_a_sample_of_each_column(
    names: tuple[str, ...], config: dict[str, str], reason: str
) -> None:
    with pytest.raises(ConfigError, match=reason) as caught:
        choose(*names, **config)
    for name in names:
        assert f"{name}: value of {name}" in str(caught.value)
    assert caught.value.problems[0].key == ("data.summary_column" if config else "data.text_column")


@pytest.mark.parametrize("config", [{}, {"text_column": "document"}])
def test_one_column_holds_no_summaries(config: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"only the column 'document'.*\n.*data.test_file"):
        choose("document", **config)


def test_every_missing_column_is_reported_with_the_nearest_name() -> None:
    with pytest.raises(ConfigError) as caught:
        choose("document", "summary", text_column="documnet", summary_column="x")
    assert [problem.key for problem in caught.value.problems] == [
        "data.text_column",
        "data.summary_column",
    ]
    assert caught.value.problems[0].hint == (
        "Did you mean 'document'? Its columns: document, summary."
    )


def test_a_name_counts_in_any_unicode_form() -> None:
    decomposed = [normalize("NFD", name) for name in ("본문", "요약", "résumé")]
    assert decomposed[0] != "본문"
    chosen = choose(*decomposed, text_column="본문", summary_column="résumé")
    assert chosen == (decomposed[0], decomposed[2])
    with pytest.raises(ConfigError, match="has no column '글'"):
        choose(*decomposed, text_column="글", summary_column="요약")


def test_white_space_around_a_name_is_not_seen() -> None:
    assert choose("document", " Summary") == ("document", " Summary")
    assert choose("x", " y ", text_column="x", summary_column="y") == ("x", " y ")


def test_references_that_are_named_and_missing_are_reported(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with caplog.at_level(logging.INFO):
        assert choose("text", "summary", references_column="gold") == ("text", "summary")
    assert "rows.csv: no column 'gold', scoring with one reference per row" in caplog.text


def test_a_list_of_summaries_in_the_column_of_summaries() -> None:
    rows = [{"document": "d", "summary": ["a", "b"]}, {"document": "d", "summary": "c"}]
    columns = Columns(document="document", summary="summary", id=None)
    with pytest.raises(ConfigError, match=r"data\.references_column=summary"):
        list(examples(rows, columns, "rows"))
    several = replace(columns, references="summary")
    assert [one.summary for one in examples(rows, several, "rows")] == ["a", "c"]


class TestPrediction:
    def test_needs_no_summary(self) -> None:
        assert choose("id", "dialogue", needs_summary=False) == ("dialogue", None)
        assert choose("x", "y", needs_summary=False, text_column="y") == ("y", None)

    def test_takes_references_where_they_are(self) -> None:
        assert choose("summary", "text", needs_summary=False) == ("text", "summary")

    def test_no_other_column_stands_in_for_the_named_one(self) -> None:
        config = {"text_column": "dialogue", "summary_column": "section_text"}
        assert choose("dialogue", "summary", needs_summary=False, **config) == ("dialogue", None)

    def test_a_typo_is_still_a_typo(self) -> None:
        with pytest.raises(ConfigError, match="has no column 'sumary'"):
            choose("text", "summary", needs_summary=False, summary_column="sumary")

    def test_is_not_guessed_by_position(self) -> None:
        with pytest.raises(ConfigError, match="no known column names"):
            choose("only", needs_summary=False)


def test_an_id_column_is_recognised_or_named() -> None:
    def id_of(*names: str, needs_summary: bool = True, **config: str) -> str | None:
        return choose_columns(
            names, DataConfig(**config), needs_summary=needs_summary, source="f", sample=dict
        ).id

    assert id_of("ID", "document", "summary") == "ID"
    assert id_of("document", "summary") is None
    assert id_of("id", "url", "document", "summary", id_column="url") == "url"
    # It names predictions, and training rows need no name.
    assert id_of("id", "document", "summary", id_column="key") is None
    with pytest.raises(ConfigError, match="Did you mean 'url'"):
        id_of("url", "document", "summary", id_column="urls")
    with pytest.raises(ConfigError, match=r"data.id_column: f has no column 'key'"):
        id_of("id", "document", "summary", needs_summary=False, id_column="key")


def test_rows_become_examples() -> None:
    columns = Columns(document="d", summary="s", id="k")
    rows: list[dict[str, object]] = [
        {"k": "a", "d": "text ", "s": " sum"},
        {"k": 7, "d": None, "s": "  "},
        {"d": 3.5},
    ]
    assert list(examples(rows, columns, "f")) == [
        Example("a", "text ", " sum"),
        Example("7", "", None),
        Example("2", "3.5", None),
    ]


def test_a_list_of_references_counts_beside_the_summary() -> None:
    columns = Columns(document="d", summary="s", id=None, references="r")
    cells: list[tuple[object, object]] = [
        ("one", ["two", "one ", "three", "two", " ", None]),
        ("one", ["one"]),
        ("one", ["two", "three"]),
        ("one", "one; two"),
        ("one", None),
        (None, ["two", "three"]),
        ("one", [{"title": "a cited paper"}]),
    ]
    rows = [{"d": "x", "s": summary, "r": references} for summary, references in cells]
    found = [one.references for one in examples(rows, columns, "f")]
    assert found == [("one", "two", "three"), (), ("one", "two", "three"), (), (), (), ()]


def test_without_a_column_of_summaries_the_first_of_a_list_is_the_summary() -> None:
    columns = Columns(document="d", summary=None, id=None, references="r")
    cells: list[object] = [[" ", "둘", "셋"], ["one"], [], None, "one"]
    found = examples([{"d": "x", "r": cell} for cell in cells], columns, "f")
    assert [(one.summary, one.references) for one in found] == [
        ("둘", ("둘", "셋")),
        ("one", ()),
        (None, ()),
        (None, ()),
        ("one", ()),
    ]
    # In a column that is nobody's, there is nothing to find.
    alone = Columns(document="d", summary=None, id=None)
    assert [one.summary for one in examples([{"d": "x", "": "y"}], alone, "f")] == [None]


def test_the_column_of_references_is_recognised_or_named() -> None:
    def chosen(*names: str, needs_summary: bool = True, **config: str) -> str | None:
        return choose_columns(
            names,
            DataConfig(**config),  # type: ignore[arg-type]
            needs_summary=needs_summary,
            source="f",
            sample=dict,
        ).references

    assert chosen("document", "summary", "References") == "References"
    assert chosen("document", "summary") is None
    assert chosen("document", "summary", "more", references_column="more") == "more"
    assert chosen("document", "references", needs_summary=False) == "references"
    assert chosen("document", "references") == "references"
    # A split without them, such as the training rows, is scored by its one summary.
    assert chosen("document", "summary", references_column="more") is None
    with pytest.raises(ConfigError, match=r"(?s)data\.references_column.*'references'"):
        chosen("document", "summary", "references", references_column="reference")


@pytest.mark.parametrize("value", [["a"], {"a": 1}, b"a"])
def test_nested_columns_are_rejected(value: object) -> None:
    columns = Columns(document="d", summary="s", id=None)
    rows = [{"d": "x", "s": "y"}, {"d": "x", "s": value}]
    with pytest.raises(ConfigError, match=r"f, row 2: column 's' holds a \w+, not text") as caught:
        list(examples(rows, columns, "f"))
    assert caught.value.problems[0].key == "data.summary_column"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (5, "5"),
        (True, "True"),
        (None, ""),
        (float("nan"), ""),
        (datetime.date(2025, 1, 2), "2025-01-02"),
        ("\ud83d\ude00", "😀"),
        ("half \ud83d", "half \ufffd"),
        ("정부", "정부"),
    ],
)
def test_cells_become_text(value: object, text: str) -> None:
    assert to_text(value) == text


@pytest.mark.parametrize(
    "text", ["", " \n", "\u00a0", "\u3000\u200b", "\ufeff", "\u3164", "\u2800"]
)
def test_what_nobody_sees_is_blank(text: str) -> None:
    assert is_blank(text)
    row = {"document": "a", "summary": text, "references": [text, "b"]}
    columns = Columns(document="document", summary="summary", id=None, references="references")
    (example,) = examples([row], columns, "rows")
    assert example.summary is None


@pytest.mark.parametrize("text", [".", " ㄱ ", "\u200ba", "0", "⠿", "\ufffd"])
def test_what_anybody_sees_is_not_blank(text: str) -> None:
    assert not is_blank(text)
