"""Whether datasets still has what `summexp.upstream.datasets` leans on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import datasets
import pyarrow as pa
import pytest
from tests.local_hub import LocalHub

from summexp.upstream.datasets import (
    Cause,
    NoFilesError,
    downloads_folder,
    fingerprint,
    recognized,
    rows_in_memory,
    rows_of_file,
)

TABLE = pa.table({"text": ["a", "b", "c"]})
DIGEST = "0123456789abcdef" * 2
CONFIGS = """---
configs:
- {config_name: one, data_files: [{split: train, path: one.jsonl}]}
- {config_name: two, data_files: [{split: train, path: two.jsonl}]}
---
"""


def test_rows_keep_the_fingerprint_that_they_are_given(tmp_path: Path) -> None:
    file = tmp_path / "rows.arrow"
    with pa.OSFile(str(file), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    for rows in (rows_in_memory(TABLE, DIGEST), rows_of_file(file, DIGEST)):
        assert fingerprint(rows) == DIGEST
        assert rows.to_dict() == TABLE.to_pydict()
    mapped = rows_of_file(file, DIGEST)
    assert mapped.cache_files == [{"filename": str(file)}], "the file is no longer memory-mapped"


def test_what_is_done_to_rows_changes_their_fingerprint_in_the_same_way() -> None:
    """It is a part of the key of the cached splits of a Hub dataset."""
    one, other = (rows_in_memory(TABLE, DIGEST).select([0, 2]) for _ in range(2))
    assert fingerprint(one) == fingerprint(other) != DIGEST
    assert fingerprint(rows_in_memory(TABLE, DIGEST).select([0, 1])) != fingerprint(one)


def test_a_loaded_dataset_has_the_same_fingerprint_again(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"text": "a"}\n')
    cache = str(tmp_path / "cache")
    first, again = (
        datasets.load_dataset("json", data_files=str(file), split="train", cache_dir=cache)
        for _ in range(2)
    )
    assert fingerprint(first) == fingerprint(again)


def test_downloads_go_into_the_folder_of_the_environment(tmp_path: Path) -> None:
    code = "from summexp.upstream.datasets import downloads_folder; print(downloads_folder())"
    environment = {**os.environ, "HF_DATASETS_CACHE": str(tmp_path)}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.strip() == str(tmp_path)
    assert downloads_folder().name == "datasets"


def folder_of(files: dict[str, str], folder: Path) -> str:
    for name, text in files.items():
        (folder / name).write_text(text, "utf-8")
    return str(folder)


def error_of(call: Callable[[], object]) -> Exception:
    with pytest.raises(Exception) as found:  # noqa: PT011
        call()
    return found.value


def test_an_error_about_a_folder_is_recognized(tmp_path: Path) -> None:
    def load(*names: str, **more: str) -> Exception:
        return error_of(
            lambda: datasets.load_dataset(*names, cache_dir=str(tmp_path / "cache"), **more)
        )

    places = [tmp_path / name for name in ("configs", "script", "empty")]
    for place in places:
        place.mkdir()
    rows = '{"text": "a"}\n'
    configs = folder_of({"README.md": CONFIGS, "one.jsonl": rows, "two.jsonl": rows}, places[0])
    script = folder_of({"script.py": "import datasets"}, places[1])
    found = [
        recognized(load(configs)),
        recognized(load(configs, "three")),
        recognized(load(configs, "one", split="test")),
        recognized(load(script)),
    ]
    assert found == [
        (Cause.CONFIGURATION, ["one", "two"]),
        (Cause.CONFIGURATION, ["one", "two"]),
        (Cause.SPLIT, ["train"]),
        (Cause.SCRIPT, []),
    ], "datasets words an error in another way"
    # Once it is loaded, another function looks for the split.
    datasets.load_dataset(configs, "one", cache_dir=str(tmp_path / "cache"))
    assert recognized(load(configs, "one", split="test")) == (Cause.SPLIT, ["train"])
    assert isinstance(load(str(places[2])), NoFilesError)
    assert recognized(ValueError("something else")) is None


CHILD = """
import datasets, json
from summexp.upstream.datasets import recognized
found = []
for name, more in (("owner/gated", {}), ("owner/open", {"revision": "absent"})):
    try:
        datasets.load_dataset(name, **more)
    except datasets.exceptions.DatasetNotFoundError as error:
        found.append([recognized(error) and recognized(error).cause.name, str(error)])
print(json.dumps(found))
"""


def test_an_error_about_a_repository_is_recognized(tmp_path: Path) -> None:
    with LocalHub() as hub:
        hub.add("owner/gated", {"train.jsonl": b'{"text": "a"}\n'}, gated=True)
        hub.add("owner/open", {"train.jsonl": b'{"text": "a"}\n'})
        environment = {**os.environ, **hub.environment(tmp_path)}
        printed = subprocess.check_output([sys.executable, "-c", CHILD], env=environment, text=True)
    found = json.loads(printed.splitlines()[-1])
    assert [cause for cause, _ in found] == ["GATED", "REVISION"], found
