from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from summexp.data import files
from summexp.data.files import digest, errors_at, existing, folder_digest
from summexp.errors import ConfigError, Problem


def test_a_missing_file_brings_the_nearest_name(tmp_path: Path) -> None:
    (tmp_path / "train.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match=r"(?s)there is no file .*Did you mean '.*/train.csv'"):
        existing(tmp_path / "tarin.csv")
    with pytest.raises(ConfigError, match=r"(?s)there is no file .*no folder .*absent either"):
        existing(tmp_path / "absent" / "train.csv")


def test_a_folder_that_may_not_be_read_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reject(_: Path) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "iterdir", reject)
    with pytest.raises(ConfigError, match=r"cannot read .*absent.csv: Permission denied"):
        existing(tmp_path / "absent.csv")


@pytest.mark.parametrize("name", ["https://example.com/a.csv", "hf://datasets/a/b/c.csv"])
def test_a_web_address_is_rejected(name: str) -> None:
    with pytest.raises(ConfigError, match="is a URL; only local files are supported"):
        existing(name)


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is a folder, not a file"):
        existing(tmp_path)


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


def test_an_unchanged_file_is_digested_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_LONGEST_TICK", 0.02)
    path = tmp_path / "rows.csv"
    path.write_text("before")
    read: list[Path] = []
    opened = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda one, *args, **options: read.append(one) or opened(one, *args, **options),
    )
    time.sleep(0.05)
    first = digest(path)
    assert (digest(path), folder_digest(tmp_path)) == (first, folder_digest(tmp_path))
    assert read == [path]
    before = path.stat()
    path.write_bytes(b"later!")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    time.sleep(0.05)
    assert digest(path) != first
