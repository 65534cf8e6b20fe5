from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from summexp.data import known_files
from summexp.data.files import digest
from summexp.data.known_files import known_file, remember_file
from summexp.data.source_files import inspect, verified


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.tsv"
    path.write_text('a\tb\n"1" x\t2\n')
    return path


def test_an_unchanged_file_is_not_read_again(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    assert known_file(inspect(file), cache) is None
    expected = verified(inspect(file))
    remember_file(expected, digest(file), cache)
    inspected, content = inspect(file), digest(file)
    monkeypatch.setattr(known_files, "digest", None)
    assert known_file(inspected, cache) == (expected, content)


def test_a_copy_is_read_and_remembered(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache"
    remember_file(verified(inspect(file)), digest(file), cache)
    copy = tmp_path / "copy.tsv"
    shutil.copy2(file, copy)
    assert known_file(inspect(copy), cache) == (verified(inspect(copy)), digest(file))
    inspected = inspect(copy)
    monkeypatch.setattr(known_files, "digest", None)
    known = known_file(inspected, cache)
    assert known is not None
    assert known[0].dialect.quotes is False


def test_the_columns_of_later_rows_are_remembered(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    file = tmp_path / "rows.jsonl"
    file.write_text('{"a": "1"}\n' * 20 + '{"b": "2"}\n')
    remember_file(verified(inspect(file)), digest(file), cache)
    known = known_file(inspect(file), cache)
    assert known is not None
    assert known[0].columns == ("a", "b")


def test_another_content_is_not_known_whatever_its_size_and_time(
    file: Path, tmp_path: Path
) -> None:
    cache = tmp_path / "cache"
    remember_file(verified(inspect(file)), digest(file), cache)
    before = file.stat()
    file.write_text('a\tb\n"3" x\t4\n')
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    after = file.stat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (
        *(before.st_ino, before.st_size, before.st_mtime_ns),
    )
    assert known_file(inspect(file), cache) is None
    file.write_text("a\tb\n1\t2\n")
    assert known_file(inspect(file), cache) is None
