from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from summexp.data.columns import Example
from summexp.data.corpus_cache import (
    SCHEMA_OF_SEVERAL,
    Split,
    SplitOptions,
    SplitWriter,
    stored_split,
)
from summexp.errors import ConfigError

EXAMPLES = [
    Example("0", "one", "1"),
    Example("1", "  ", "2"),
    Example("2", "three", None),
    Example("3", "one ", "1"),
    Example("4", "five", "5"),
    Example("5", "", None),
    Example("6", "", None),
]


def written(examples: Iterable[Example], cache: Path | None, **options: Any) -> Split:
    with SplitWriter(SplitOptions(**options), cache) as writer:
        for example in examples:
            writer.add(example)
            if writer.is_full:
                break
        return writer.finish("key")


def test_rows_without_a_document_or_summary_are_dropped_and_counted(tmp_path: Path) -> None:
    split = written(EXAMPLES, tmp_path, keep_all=False)
    assert split.rows["id"][:] == ["0", "3", "4"]
    assert split.rows.column_names == ["id", "document", "summary"]
    health = split.health
    assert (health.rows, health.dropped, health.used) == (7, 4, 3)
    assert (health.empty_document, health.empty_summary) == (3, 3)
    assert (health.duplicate_rows, health.duplicate_documents) == (1, 1)


def test_prediction_keeps_every_row(tmp_path: Path) -> None:
    split = written(EXAMPLES, tmp_path, keep_all=True)
    assert list(split.rows) == [
        {"id": one.id, "document": one.document, "summary": one.summary} for one in EXAMPLES
    ]
    assert split.health.dropped == 0
    assert split.health.duplicate_documents == 1  # empty documents are not repeats of each other


def test_the_limit_counts_rows_that_are_used_and_reads_no_further() -> None:
    taken = []

    def source() -> Iterator[Example]:
        for example in EXAMPLES:
            taken.append(example.id)
            yield example

    split = written(source(), None, keep_all=False, limit=2)
    assert split.rows["id"][:] == ["0", "3"]
    assert taken == ["0", "1", "2", "3"]
    assert split.health.rows == 4


def test_several_references_are_kept_and_belong_to_the_fingerprint(tmp_path: Path) -> None:
    several = [Example("0", "one", "1", ("1", "eins", "하나")), Example("1", "two", "2")]
    split = written(several, tmp_path, keep_all=False, schema=SCHEMA_OF_SEVERAL)
    assert split.rows["references"][:] == [["1", "eins", "하나"], []]
    assert split.rows["summary"][:] == ["1", "2"]
    in_memory = written(several, None, keep_all=False, schema=SCHEMA_OF_SEVERAL)
    assert list(in_memory.rows) == list(split.rows)
    assert in_memory.fingerprint == split.fingerprint
    first = [one._replace(references=()) for one in several]
    # A row with its one reference has the fingerprint that it had without the column.
    alone = written(first, None, keep_all=False)
    same = written(first, None, keep_all=False, schema=SCHEMA_OF_SEVERAL)
    assert alone.fingerprint == same.fingerprint != split.fingerprint


@pytest.mark.parametrize("keep_all", [False, True])
def test_memory_and_disk_agree_and_the_second_time_nothing_is_read(
    tmp_path: Path, keep_all: bool
) -> None:
    in_memory = written(EXAMPLES, None, keep_all=keep_all)
    first = written(EXAMPLES, tmp_path, keep_all=keep_all)
    again = stored_split(tmp_path, "key")
    assert again is not None
    for split in (first, again):
        assert list(split.rows) == list(in_memory.rows)
        assert split.health == in_memory.health
        assert split.fingerprint == in_memory.fingerprint == split.rows._fingerprint
        assert (split.hashes == in_memory.hashes).all()


def test_the_fingerprint_stands_for_the_exact_rows() -> None:
    def fingerprint(*examples: Example) -> str:
        return written(examples, None, keep_all=True).fingerprint

    base = fingerprint(Example("0", "ab", "c"))
    assert base == fingerprint(Example("0", "ab", "c"))
    others = [Example("0", "a", "bc"), Example("0", "ab ", "c"), Example("1", "ab", "c")]
    assert base not in map(fingerprint, others)


def test_a_broken_source_leaves_nothing_behind(tmp_path: Path) -> None:
    def source() -> Iterator[Example]:
        yield EXAMPLES[0]
        raise ConfigError("line 2 is broken")

    with pytest.raises(ConfigError):
        written(source(), tmp_path, keep_all=False)
    assert os.listdir(tmp_path / "corpus") == []


def _store(cache: Path) -> int:
    many = (Example(str(n), f"document {n}", "s") for n in range(20_000))
    return len(written(many, cache, keep_all=False).rows)


def test_jobs_that_store_the_same_split_do_not_clash(tmp_path: Path) -> None:
    # A fork of this process would have the locks of its threads, and nobody to open them.
    with multiprocessing.get_context("forkserver").Pool(4) as pool:
        assert pool.map(_store, [tmp_path] * 4) == [20_000] * 4
    assert os.listdir(tmp_path / "corpus") == ["key"]


def test_a_stored_split_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o002)
    try:
        written(EXAMPLES, tmp_path, keep_all=False)
    finally:
        os.umask(before)
    assert (tmp_path / "corpus" / "key").stat().st_mode & 0o777 == 0o775
    assert {file.stat().st_mode & 0o777 for file in (tmp_path / "corpus" / "key").iterdir()} == {
        0o664
    }
