from __future__ import annotations

import gzip
import io
import json
from pathlib import Path
from unicodedata import normalize

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from summexp.data.files import digest, errors_at, format_of, head_of, read_rows
from summexp.errors import ConfigError, Problem

CORPORA = Path(__file__).parents[3] / "shared" / "data"
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
    assert list(read_rows(path)) == ROWS
    head = head_of(path)
    assert head.columns == ("document", "summary")
    assert head.sample == {"document": "first, one", "summary": "1st"}


@pytest.mark.parametrize("ending", ["csv", "tsv", "json", "jsonl", "parquet"])
@pytest.mark.parametrize("name", ["path_to_csv_or_jsonlines_file", "rows.data", "v1.2"])
def test_a_file_without_a_known_ending_is_recognized_by_its_content(
    tmp_path: Path, ending: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(CONTENT[ending])
    assert list(read_rows(path)) == ROWS


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
    assert list(read_rows(path)) == ROWS


@pytest.mark.parametrize("ending", ["csv", "json", "jsonl", "txt", "parquet", "csv.gz"])
def test_zero_bytes_are_reported(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"rows.{ending}"
    path.write_bytes(gzip.compress(b"", mtime=0) if ending.endswith("gz") else b"")
    with pytest.raises(ConfigError, match=r"rows\..* (is empty|is not a valid Parquet file)"):
        list(read_rows(path))


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
        list(read_rows(path))


def test_a_missing_file_brings_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=r"(?s)there is no file .*Did you mean '.*/train.csv'"):
        format_of(tmp_path / "tarin.csv")
    with pytest.raises(ConfigError, match=r"(?s)there is no file .*no folder .*absent either"):
        format_of(tmp_path / "absent" / "train.csv")


def test_a_folder_that_may_not_be_read_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", reject)
    with pytest.raises(ConfigError, match=r"cannot read .*absent.csv: Permission denied"):
        format_of(tmp_path / "absent.csv")


@pytest.mark.parametrize("name", ["https://example.com/a.csv", "hf://datasets/a/b/c.csv"])
def test_a_web_address_is_rejected(name: str) -> None:
    with pytest.raises(ConfigError, match="is a URL; only local files are supported"):
        format_of(name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        format_of(tmp_path)


def test_parquet_reads_only_the_columns_that_are_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "rows.parquet"
    path.write_bytes(CONTENT["parquet"])
    assert next(iter(read_rows(path, columns=["summary"]))) == {"summary": "1st"}


def test_columns_of_json_are_those_of_the_first_rows(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text('{"a": 1}\n{"b": [1, 2], "a": null}\n')
    head = head_of(path)
    assert head.columns == ("a", "b")
    assert head.sample == {"a": "1", "b": "[1, 2]"}


def test_a_digest_stands_for_the_bytes(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.write_bytes(b"same")
    other.write_bytes(b"same")
    assert digest(one) == digest(other)
    assert len(digest(one)) == 32
    other.write_bytes(b"Same")
    assert digest(one) != digest(other)


def test_hints_go_only_to_problems_without_a_key() -> None:
    mine, other = Problem(what="mine"), Problem(what="other", key="data.name")
    with pytest.raises(ConfigError) as caught, errors_at("data.test_file"):
        raise ConfigError([mine, other])
    assert [problem.key for problem in caught.value.problems] == ["data.test_file", "data.name"]


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
    rows = list(read_rows(CORPORA / name))
    assert len(rows) == count
    assert all(row.keys() == rows[0].keys() for row in rows)
    texts = ("dialogue", "section_text") if name.startswith("mts") else ("document", "summary")
    assert all(row[column] for row in rows for column in texts)


def test_a_name_in_decomposed_letters_is_found(tmp_path: Path) -> None:
    decomposed = tmp_path / normalize("NFD", "자료") / normalize("NFD", "훈련.csv")
    decomposed.parent.mkdir()
    decomposed.write_text("document,summary\n가,나\n", encoding="utf-8")
    typed = tmp_path / "자료" / "훈련.csv"
    assert list(read_rows(typed)) == [{"document": "가", "summary": "나"}]
    assert digest(typed) == digest(decomposed)
    with pytest.raises(ConfigError, match="there is no file"):
        head_of(typed.with_name("검증.csv"))
