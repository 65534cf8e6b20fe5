"""Whatever rows are written, in any of the forms that are read, the same rows are read back."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.data.reading import read_once, read_rows

from summexp.errors import ConfigError

examples = settings(max_examples=60, derandomize=True, database=None, deadline=None)

MARKS = st.sampled_from([",", ";", "\t", '"', '""', "'", "\\", "\n", "\r\n", "\r", " ", "\u2028"])
# Lone surrogates are no text, and control characters are none that a table or a shell would write.
LETTERS = st.text(st.characters(exclude_categories=["Cs", "Cc"]), max_size=8)
TEXTS = st.lists(st.one_of(MARKS, LETTERS, st.sampled_from(["요약", "要約", "🌧️", "\ufeff"]))).map(
    "".join
)
ROWS = st.lists(st.fixed_dictionaries({"document": TEXTS, "요약": TEXTS}), min_size=1, max_size=5)
UNICODE = st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-32"])
# Python's `csv` before 3.13 puts no quotes around a line end that is not that of the file.
STYLES = st.sampled_from(
    [(csv.QUOTE_ALL, "\n"), (csv.QUOTE_ALL, "\r\n"), (csv.QUOTE_MINIMAL, "\r\n")]
)
SENTENCES = {
    ("ko", "cp949"): "정부는 내년 예산안을 국회에 제출했다.",
    ("ja", "shift_jis"): "政府は来年度の予算案を国会に提出した。",
    ("ja", "euc_jp"): "政府は来年度の予算案を国会に提出した。",
    ("ja", "iso2022_jp"): "政府は来年度の予算案を国会に提出した。",
    ("zh", "gb18030"): "政府向议会提交了明年的预算草案。",
    ("ru", "cp1251"): "Правительство внесло проект бюджета на будущий год.",
    ("fr", "cp1252"): "Le préfet a annoncé la fermeture de l'école dès février.",
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rows")


def as_csv(rows: list[dict[str, str]], delimiter: str, style: tuple[int, str]) -> str:
    text = io.StringIO(newline="")
    quoting, line_end = style
    writer = csv.DictWriter(
        text, list(rows[0]), delimiter=delimiter, quoting=quoting, lineterminator=line_end
    )
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_lines(rows: list[dict[str, str]], *, is_ascii: bool, line_end: str, at_end: bool) -> str:
    text = line_end.join(json.dumps(row, ensure_ascii=is_ascii) for row in rows)
    return text + line_end * at_end


def written(path: Path, data: bytes, *, packed: bool) -> Path:
    path.write_bytes(gzip.compress(data) if packed else data)
    return path


@examples
@given(
    rows=ROWS,
    form=st.sampled_from([("rows.csv", ","), ("rows.tsv", "\t"), ("rows.csv", ";")]),
    style=STYLES,
    encoding=UNICODE,
    packed=st.booleans(),
)
def test_csv(
    folder: Path,
    rows: list[dict[str, str]],
    form: tuple[str, str],
    style: tuple[int, str],
    encoding: str,
    packed: bool,
) -> None:
    name, delimiter = form
    data = as_csv(rows, delimiter, style).encode(encoding)
    assert read_once(written(folder / name, data, packed=packed)) == rows


@examples
@given(
    rows=ROWS,
    name=st.sampled_from(["rows.jsonl", "rows.ndjson", "rows.json"]),
    is_ascii=st.booleans(),
    line_end=st.sampled_from(["\n", "\r\n", "\n\n"]),
    at_end=st.booleans(),
    encoding=UNICODE,
    packed=st.booleans(),
)
def test_json_lines(
    folder: Path,
    rows: list[dict[str, str]],
    name: str,
    is_ascii: bool,
    line_end: str,
    at_end: bool,
    encoding: str,
    packed: bool,
) -> None:
    data = as_lines(rows, is_ascii=is_ascii, line_end=line_end, at_end=at_end).encode(encoding)
    assert read_once(written(folder / name, data, packed=packed)) == rows


@examples
@given(rows=ROWS, indent=st.sampled_from([None, 2]), around=st.booleans(), encoding=UNICODE)
def test_json_of_one_value(
    folder: Path, rows: list[dict[str, str]], indent: int | None, around: bool, encoding: str
) -> None:
    value = {"data": rows} if around else rows
    data = json.dumps(value, ensure_ascii=False, indent=indent).encode(encoding)
    assert read_once(written(folder / "rows.json", data, packed=False)) == rows


@examples
@given(
    language=st.sampled_from(list(SENTENCES)),
    marks=st.lists(
        st.lists(st.sampled_from([",", '"', "\r\n", "a", " "])).map("".join), max_size=4
    ),
    style=STYLES,
    as_table=st.booleans(),
)
def test_other_encodings(
    folder: Path,
    language: tuple[str, str],
    marks: list[str],
    style: tuple[int, str],
    as_table: bool,
) -> None:
    (code, encoding), sentence = language, SENTENCES[language]
    rows = [{"document": sentence + mark + sentence, "summary": mark} for mark in ["", *marks]]
    if as_table:
        path, text = folder / "rows.csv", as_csv(rows, ",", style)
    else:
        path = folder / "rows.jsonl"
        text = as_lines(rows, is_ascii=False, line_end="\n", at_end=True)
    path.write_bytes(text.encode(encoding))
    assert read_once(path, language=code) == rows


@examples
@given(rows=ROWS, is_ascii=st.booleans(), packed=st.booleans(), data=st.data())
def test_lines_that_are_cut_off_lose_no_row_in_silence(
    folder: Path, rows: list[dict[str, str]], is_ascii: bool, packed: bool, data: st.DataObject
) -> None:
    """An error, or whole rows and nothing of the next one."""
    whole = as_lines(rows, is_ascii=is_ascii, line_end="\n", at_end=True).encode()
    path = written(folder / "rows.jsonl", whole, packed=packed)
    content = path.read_bytes()
    kept = content[: data.draw(st.integers(0, len(content) - 2))]
    path.write_bytes(kept)
    read = []
    try:
        for row in read_rows(path):
            read.append(row)
    except ConfigError:
        assert read == rows[: len(read)]
    else:
        assert not packed
        assert read == rows[: kept.count(b"\n") + (kept[-1:] != b"\n")]
