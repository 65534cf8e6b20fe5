from __future__ import annotations

import gzip
import io
import json
from itertools import islice
from pathlib import Path
from unicodedata import normalize

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.reading import read_once, read_rows

from summexp.data import source_files
from summexp.data.files import digest
from summexp.data.source_files import (
    Inspections,
    MisleadingStartError,
    RowReader,
    SourceFile,
    inspect,
    verified,
)
from summexp.errors import ConfigError

CORPORA = Path(__file__).parents[3] / "shared" / "data"
CASES = CORPORA.parent / "cases"
ROWS = [{"document": "first, one", "summary": "1st"}, {"document": "둘째\n글", "summary": "2"}]


def parquet(rows: list[dict[str, str]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


CONTENT = {
    "csv": 'document,summary\n"first, one",1st\n"둘째\n글",2\n'.encode(),
    "tsv": 'document\tsummary\nfirst, one\t1st\n"둘째\n글"\t2\n'.encode(),
    "json": json.dumps(ROWS).encode(),
    "jsonl": "\n".join(map(json.dumps, ROWS)).encode(),
    "ndjson": "\n".join(map(json.dumps, ROWS)).encode(),
    "parquet": parquet(ROWS),
}


@pytest.mark.parametrize("ending", CONTENT)
@pytest.mark.parametrize("compress", [False, True])
def test_every_format_gives_the_same_rows(tmp_path: Path, ending: str, compress: bool) -> None:
    path = tmp_path / f"rows.{ending}{'.gz' if compress else ''}"
    data = CONTENT[ending]
    path.write_bytes(gzip.compress(data, mtime=0) if compress else data)
    assert read_once(path) == ROWS
    file = inspect(path)
    assert file.columns == ("document", "summary")
    assert file.sample == {"document": "first, one", "summary": "1st"}


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["path_to_csv_or_jsonlines_file", "rows.data", "v1.2"])
def test_a_file_without_a_known_ending_is_recognized_by_its_content(
    tmp_path: Path, ending: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENT[ending])
    assert read_once(path) == ROWS


@pytest.mark.parametrize("ending", ["txt", "txt.gz"])
def test_plain_text_is_a_document_a_line(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    data = b"one\r\n\nthree, 'quoted\"\nfour"
    path.write_bytes(gzip.compress(data, mtime=0) if ending.endswith("gz") else data)
    documents = [row["document"] for row in read_rows(path)]
    assert documents == ["one", "", "three, 'quoted\"", "four"]


@pytest.mark.parametrize("name", ["rows.csv", "rows.csv.gz"])
def test_an_ending_that_promises_the_wrong_compression_does_no_harm(
    tmp_path: Path, name: str
) -> None:
    path = tmp_path / name
    data = CONTENT["csv"]
    path.write_bytes(data if name.endswith("gz") else gzip.compress(data, mtime=0))
    assert read_once(path) == ROWS


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "txt", "parquet", "csv.gz"])
def test_zero_bytes_are_reported(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(gzip.compress(b"", mtime=0) if ending.endswith("gz") else b"")
    with pytest.raises(ConfigError, match=r"rows\..* (is empty|is not a valid Parquet file)"):
        read_once(path)


@pytest.mark.parametrize(
    ("name", "data", "message"),
    [
        ("rows.csv", b"document,summary\n", "has a header but no rows"),
        ("rows.json", b"[]", "holds no rows"),
        ("rows.jsonl", b'{"a": 1}\n{"a"', "line 2: this row is not valid JSON"),
        ("rows.parquet", b"PAR1 and no more", "is not a valid Parquet file"),
        ("rows.csv.gz", gzip.compress(CONTENT["csv"], mtime=0)[:-12], "incomplete gzip data"),
        ("rows.xlsx", b"PK\x03\x04 and more", "unknown format of"),
        ("README", b"Only words.", "unknown format of"),
    ],
)
def test_what_cannot_be_read_is_reported(
    tmp_path: Path, name: str, data: bytes, message: str
) -> None:
    path = tmp_path / name
    path.write_bytes(data)
    with pytest.raises(ConfigError, match=message):
        read_once(path)


def test_parquet_reads_only_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(CONTENT["parquet"])
    assert next(iter(read_rows(path, columns=["summary"]))) == {"summary": "1st"}


def test_columns_of_json_are_those_of_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"b": [1, 2], "a": null}\n')
    file = inspect(path)
    assert file.columns == ("a", "b")
    assert file.sample == {"a": "1", "b": "[1, 2]"}


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("ending", ["jsonl", "json"])
def test_columns_of_later_rows_of_json_are_noticed(
    tmp_path: Path, ending: str, limit: int | None
) -> None:
    rows = [{"a": str(n)} for n in range(30)] + [{"a": "x", "b": ""}, {"b": "late", "c": "d"}]
    path = tmp_path / f"rows.{ending}"
    path.write_text(json.dumps(rows) if ending == "json" else "\n".join(map(json.dumps, rows)))
    file = inspect(path)
    assert file.columns == ("a",)
    with pytest.raises(MisleadingStartError):
        first_rows(file, limit)
    file = verified(file)
    assert file.columns == ("a", "b", "c")
    assert file.sample == {"a": "0", "b": "late", "c": "d"}
    assert first_rows(file, limit) == (rows[:limit], digest(path))
    # What is invalid after the columns is for those to report who need the row.
    path.write_text('{"a": 1}\n' * 20 + '{"b": 2}\n{"c"')
    assert verified(inspect(path)).columns == ("a", "b")


LINE = "plain,words\n"
LONG = LINE * 6000
"""More than what is inspected."""
LATE = {
    # Name to the content, and the dialect that only all of it shows.
    "late.csv": (f"document,summary\n{LONG}문서,요약\n".encode("cp949"), ("cp949", True)),
    "late.tsv": (
        f'document,summary\n{LONG}"x" y,z\n'.replace(",", "\t").encode(),
        ("utf-8", False),
    ),
}


def first_rows(file: SourceFile, limit: int | None) -> tuple[list[dict[str, object]], str]:
    """The first rows of a file and its digest."""
    with RowReader(file) as reader:
        return list(islice(reader, limit)), reader.digest()


@pytest.mark.parametrize("limit", [None, 3])
@pytest.mark.parametrize("name", LATE)
def test_what_comes_after_the_start_is_noticed(
    tmp_path: Path, name: str, limit: int | None
) -> None:
    """Whether or not that many rows are needed."""
    content, dialect = LATE[name]
    path = tmp_path / name
    path.write_bytes(content)
    file = inspect(path)
    assert (file.encoding, file.dialect.quotes, file.is_verified) == ("utf-8", True, False)
    with pytest.raises(MisleadingStartError):
        first_rows(file, limit)
    file = verified(file)
    assert (file.encoding, file.dialect.quotes) == dialect
    rows, found = first_rows(file, limit)
    assert found == digest(path)
    assert len(rows) == limit or rows[-1]["document"] in ("문서", '"x" y')
    assert read_once(path)[: len(rows)] == rows


def test_an_invalid_record_after_the_needed_ones_is_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("document\tsummary\n" + "a\tb\n" * 20 + "c\n")
    file = inspect(path)
    with pytest.raises(MisleadingStartError):
        first_rows(file, 1)
    assert first_rows(verified(file), 1) == ([{"document": "a", "summary": "b"}], digest(path))


def test_a_byte_after_the_needed_rows_that_is_no_text_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes(b"document,summary\n" + "é,è\n".encode() * 20_000 + b"caf\xe9,b\n")
    file = inspect(path)
    with pytest.raises(MisleadingStartError):
        first_rows(file, 1)
    with pytest.raises(ConfigError, match="line 20002: invalid UTF-8"):
        verified(file)


def test_remarks_name_what_is_unusual(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_bytes('문서\t요약\n"가" 나\t다\n'.encode("cp949"))
    file = verified(inspect(path))
    assert list(file.remarks()) == [
        f"{path}: not UTF-8, reading it as cp949",
        f"{path}: reading it as separated by tabs",
        f"{path}: quotes do not enclose cells, reading them literally",
    ]
    path.write_bytes(CONTENT["csv"])
    assert list(verified(inspect(path)).remarks()) == []


def test_a_file_is_inspected_again_only_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "rows.csv"
    path.write_text("document,summary\na,b\n")
    files = Inspections()
    first = files.of(path)
    assert files.of(str(path)) is first
    assert files.of(path, language="ko") is not first
    path.write_text("article,summary\na,b\n")
    assert files.of(path).columns == ("article", "summary")
    assert not first.is_unchanged
    with pytest.raises(ConfigError, match="changed while it was being read"), RowReader(first):
        pass


def test_inspections_are_handed_on_as_json(tmp_path: Path) -> None:
    files = Inspections()
    for name, content in CONTENT.items():
        (tmp_path / f"rows.{name}").write_bytes(content)
        files.of(tmp_path / f"rows.{name}")
    read = Inspections.from_json(json.loads(json.dumps(files.to_json())))
    assert read == files.without_rows()
    file = read.of(tmp_path / "rows.csv")
    assert file.rows == ()
    assert list(source_files.read_rows(file)) == ROWS


@pytest.mark.skipif(not CORPORA.is_dir(), reason="the real corpora are not beside the repository")
@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("mts_dialog/train.csv", 1201),
        ("mts_dialog/validation.csv", 100),
        ("mts_dialog/test.csv", 200),
        ("scitldr/train.jsonl", 1992),
        ("scitldr/validation.jsonl", 619),
        ("scitldr/test.jsonl", 618),
        ("meqsum/all.jsonl", 1000),
    ],
)
def test_real_files(name: str, count: int) -> None:
    rows = read_once(CORPORA / name)
    assert len(rows) == count
    assert all(row.keys() == rows[0].keys() for row in rows)
    texts = ("dialogue", "section_text") if name.startswith("mts") else ("document", "summary")
    assert all(row[column] for row in rows for column in texts)


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the repository")
@pytest.mark.parametrize("name", ["summary", "references"])
def test_files_without_a_column_in_their_first_rows(name: str) -> None:
    path = CASES / "json" / f"sparse_{name.replace('erences', 's')}.jsonl"
    assert name not in inspect(path).columns
    assert name in verified(inspect(path)).columns


@pytest.mark.skipif(not CASES.is_dir(), reason="the cases are not beside the repository")
@pytest.mark.parametrize(
    ("name", "summary"),
    [
        ("two_stray.csv", '"Pipe day 5'),
        ("two_stray.tsv", '"Pipe day 5'),
        ("backslash_quiet.csv", 'Mayor "did it" on day 5'),
        ("index.csv", "The harbour repairs after 36 days; news 5."),
    ],
)
def test_files_that_lost_or_garbled_rows(name: str, summary: str) -> None:
    rows = read_once(CASES / "csv" / name)
    assert (len(rows), rows[5]["summary"]) == (40, summary)


def test_a_name_in_decomposed_letters_is_found(tmp_path: Path) -> None:
    decomposed = tmp_path / normalize("NFD", "자료") / normalize("NFD", "훈련.csv")
    decomposed.parent.mkdir()
    decomposed.write_text("document,summary\n가,나\n", encoding="utf-8")
    typed = tmp_path / "자료" / "훈련.csv"
    assert read_once(typed) == [{"document": "가", "summary": "나"}]
    assert digest(typed) == digest(decomposed)
    with pytest.raises(ConfigError, match="there is no file"):
        inspect(typed.with_name("검증.csv"))
