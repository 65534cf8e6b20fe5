from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from summexp.errors import ConfigError
from summexp.runs.folder import (
    check_is_free,
    clear,
    fresh_folder,
    own_names,
    read_record,
    write_json,
)
from summexp.runs.lock import LOCK_FILE


def test_fresh_folders_of_one_second_differ(tmp_path: Path) -> None:
    folders = [fresh_folder(tmp_path / "outputs") for _ in range(5)]
    assert len(set(folders)) == 5
    assert all(folder.is_dir() and not any(folder.iterdir()) for folder in folders)


def test_fresh_folders_of_two_processes_differ(tmp_path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        folders = list(pool.map(fresh_folder, [tmp_path / "outputs"] * 8))
    assert len(set(folders)) == 8


def test_foreign_files_under_our_names_are_not_written_to(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    check_is_free(tmp_path)
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ConfigError, match=r"holds README\.md, but no run of summexp"):
        check_is_free(tmp_path)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match="is a file, not a folder"):
        check_is_free(tmp_path / "file")


def test_clear_deletes_only_what_a_run_wrote(tmp_path: Path) -> None:
    for name in ("notes.txt", "config.json", "report.html", LOCK_FILE):
        (tmp_path / name).write_text("x")
    (tmp_path / "checkpoint-5").mkdir()
    (tmp_path / "my_folder").mkdir()
    (tmp_path / "model.safetensors").write_text("the user's own, put here later")
    write_json(tmp_path / "run.json", {"files": ["config.json", "report.html"]})
    clear(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"notes.txt", "my_folder", "model.safetensors", LOCK_FILE}


def test_own_names_knows_tokenizer_and_model_files(tmp_path: Path) -> None:
    ours = ["config.json", "model-00001-of-00002.safetensors", "spiece.model", "tokenizer.json"]
    for name in [*ours, "thesis.pdf", "model.ckpt"]:
        (tmp_path / name).write_text("")
    assert own_names(tmp_path) == ours


def test_a_record_that_is_no_record_is_none(tmp_path: Path) -> None:
    assert read_record(tmp_path) is None
    (tmp_path / "run.json").write_text("{half")
    assert read_record(tmp_path) is None
    write_json(tmp_path / "run.json", {"status": "종료"})
    assert read_record(tmp_path) == {"status": "종료"}
