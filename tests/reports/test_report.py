import html
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from tests.reports.conftest import score

from summexp.data.health import CorpusHealth, SplitHealth
from summexp.reports.report import health_rows, write_report

MakeRun = Callable[..., Path]

ATTACK = "<script>alert('owned')</script> & [link](javascript:alert(1)) `code` | cell [31mred"
VOID = {"meta", "br"}


class Page(HTMLParser):
    """The elements and texts of a page; fails where an element is not closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def page(folder: Path) -> Page:
    write_report(folder)
    return Page((folder / "report.html").read_text("utf-8"))


def markdown(folder: Path) -> str:
    write_report(folder)
    return (folder / "report.md").read_text("utf-8")


def test_both_files_are_written_and_stay_the_same(run_folder: Path) -> None:
    paths = write_report(run_folder)
    assert paths == [run_folder / "report.md", run_folder / "report.html"]
    before = [path.read_bytes() for path in paths]
    write_report(run_folder)
    assert [path.read_bytes() for path in paths] == before


def test_the_page_needs_nothing_beside_itself(run_folder: Path) -> None:
    found = page(run_folder)
    assert not {"script", "link", "img", "iframe", "object", "a"} & set(found.tags)
    assert not {"src", "href", "srcset"} & {name for name, _ in found.attributes}
    style = "".join(found.texts)
    assert not re.search(r"url\(|@import|https?:", style)


def test_the_page_shows_texts_as_they_are(run_folder: Path) -> None:
    found = page(run_folder)
    for text in (
        ATTACK,
        "Row x<9>",
        "A document with <b>tags</b> & entities &amp; more.",
        "서울시 한강 공원 야간 조명 교체",
        "京都市が新しいバス路線を発表",
    ):
        assert any(text in shown for shown in found.texts), text
    assert ("lang", "ko") in found.attributes


def test_best_and_worst_rows_stand_under_their_heads(run_folder: Path) -> None:
    texts = [text.strip() for text in page(run_folder).texts if text.strip()]
    order = ["Best by ROUGE-L", "Row ko-7", "Row ja-8", "Worst by ROUGE-L", "Row x<9>"]
    places = [texts.index(text) for text in order]
    assert places == sorted(places)
    assert "ROUGE-L 72.73, ROUGE-1 80.00" in texts
    # A dialogue has a line for each turn.
    assert any("発表した。\n停留所は十二。" in text for text in texts)
    assert "発表した。\\\n> 停留所は十二。" in markdown(run_folder)


def test_rows_without_references_are_the_first_ones(make_run: MakeRun) -> None:
    rows = [{"kind": "first", "set": "predict", "id": str(n), "prediction": "p"} for n in (1, 2)]
    folder = make_run(examples=rows)
    texts = [text.strip() for text in page(folder).texts]
    assert "The first rows" in texts
    assert "Test; without references no row is better than another" in texts
    assert not [text for text in texts if text.startswith(("Best", "Worst"))]


def test_long_documents_are_cut(run_folder: Path) -> None:
    (document,) = [text for text in page(run_folder).texts if text.startswith("서울시는")]
    assert len(document) <= 500
    assert document.endswith("…")


def test_the_page_has_every_section(run_folder: Path) -> None:
    found = page(run_folder)
    headings = [name for key, name in found.attributes if key == "id"]
    assert headings == ["scores", "curves", "examples", "data", "again"]
    assert found.tags.count("figure") == 2
    assert found.tags.count("polyline") == 3
    texts = " ".join(found.texts)
    for text in (
        "T5 from random weights on train.csv",
        "69.50 to 72.90",
        "The model is above the lead-1 baseline (ROUGE-L 66.67, lead-1 27.30).",
        "599 (25.0 %)",
        "Documents of validation that are also in train: 6 (2.0 %)",
        "python train.py data=custom_csv",
        "architecture: {model_type: t5, d_model: 96}",
    ):
        assert text in texts, text


def test_a_failed_run_shows_why_and_no_empty_sections(failed_folder: Path) -> None:
    found = page(failed_folder)
    assert [name for key, name in found.attributes if key == "id"] == ["again"]
    assert "data.text_column: there is no <column>" in "".join(found.texts)
    text = markdown(failed_folder)
    assert re.findall("^#.*", text, re.MULTILINE)[1:] == ["## Run it again", "## Config"]
    assert "train.csv holds no rows\ndata.text_column: there is no <column>" in text


def test_a_run_that_only_began_has_a_report(make_run: MakeRun) -> None:
    folder = make_run(config=None, record={"status": "running"}, metrics=None, history=None)
    found = page(folder)
    assert "section" not in found.tags
    assert markdown(folder).startswith("# A model on data\n\n**Running**\n")


def test_predictions_without_references(make_run: MakeRun) -> None:
    scores, evaluated = [score("gen_len", 7.5, of="predict")], {"predict": {"samples": 2}}
    rows = [{"id": "0", "prediction": "요약"}, {"id": "1", "prediction": ""}]
    folder = make_run(
        scores=scores, evaluated=evaluated, examples=[], history=None, predictions=rows
    )
    found = page(folder)
    assert "2 rows, 7.5 tokens a summary" in found.texts
    assert "Reference" not in found.texts
    assert "nothing" in found.texts


def test_the_markdown_renders_as_meant(run_folder: Path) -> None:
    source = markdown(run_folder)
    assert "\n\n\n" not in source
    # GitHub allows a few elements, <details> among them, and so does this renderer.
    shown = MarkdownIt("commonmark").enable("table").render(source)
    assert "<script" not in shown
    assert ATTACK in html.unescape(shown)
    assert '<td style="text-align:center">69.50 to 72.90</td>' in shown
    assert shown.count("<table>") == 2
    assert re.findall("<h2>(.*?)</h2>", shown) == [
        "Scores",
        "Examples",
        "Data",
        "Run it again",
        "Config",
    ]


@pytest.mark.parametrize("several", [2, 8])
def test_every_validation_set_has_its_table(make_run: MakeRun, several: int) -> None:
    scores = [score("rougeL", 10.0 + n, of=f"eval_set{n}") for n in range(several)]
    found = page(make_run(scores=scores, evaluated={}))
    titles = [text.strip() for text in found.texts if text.startswith("Validation: ")]
    assert titles == [f"Validation: set{number}" for number in range(several)]


def test_unknown_tokens_stand_beside_what_is_cut() -> None:
    known = SplitHealth(
        rows=8,
        document_tokens=400,
        unknown_document_tokens=100,
        summary_tokens=40,
        unknown_summary_tokens=0,
    )
    rows = health_rows(CorpusHealth(splits={"train": known, "unknown": SplitHealth(rows=8)}))
    assert [row.cells[-2:] for row in rows] == [("100 (25.0 %)", "0"), ("-", "-")]


def test_documents_in_chunks_are_not_reported_as_cut() -> None:
    splits = {
        "train": SplitHealth(rows=8, truncated_documents=2, truncated_summaries=0),
        "test": SplitHealth(
            rows=8, truncated_documents=0, chunked_documents=3, truncated_summaries=1
        ),
        "unknown": SplitHealth(rows=8),
    }
    rows = {row.split: row.cells[-4:-2] for row in health_rows(CorpusHealth(splits=splits))}
    assert rows == {
        "train": ("2 (25.0 %)", "0"),
        "test": ("3 (37.5 %) in chunks", "1 (12.5 %)"),
        "unknown": ("-", "-"),
    }
