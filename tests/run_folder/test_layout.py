from __future__ import annotations

import json
import multiprocessing
import os
import subprocess
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from summexp.errors import ConfigError
from summexp.run_folder.atomic_files import write_json
from summexp.run_folder.checkpoints import write_manifest
from summexp.run_folder.creation import check_is_free, check_is_writable, fresh_folder
from summexp.run_folder.deletion import clear
from summexp.run_folder.layout import incomplete_marker, own_names
from summexp.run_folder.record_file import read_record
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
    (tmp_path / "my_folder").mkdir()
    (tmp_path / "model.safetensors").write_text("the user's own, put here later")
    write_json(tmp_path / "run.json", {"files": ["config.json", "report.html"]})
    clear(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"notes.txt", "my_folder", "model.safetensors", LOCK_FILE}


@pytest.fixture
def victim(tmp_path: Path) -> Path:
    """A folder beside the run folder, which no content of the run folder may harm."""
    victim = tmp_path / "victim"
    (victim / "checkpoint-1").mkdir(parents=True)
    (victim / "config.json").write_text("precious")
    (victim / "checkpoint-1" / "model.safetensors").write_text("precious")
    return victim


def tree(folder: Path) -> dict[str, str | None]:
    paths = sorted(folder.rglob("*"))
    return {
        str(path.relative_to(folder)): path.read_text() if path.is_file() else None
        for path in paths
    }


@pytest.mark.parametrize(
    "name",
    [
        "../victim",
        "../victim/config.json",
        "{absolute}",
        "{absolute}/config.json",
        "generated_predictions/../../victim/x.jsonl",
        "adapter/../../victim",
        "checkpoint-1/../../victim",
        "./../victim",
        "..\\victim",
        "../victim\n",
        "link/config.json",
        "",
        ".",
        "..",
        "/",
        "~",
        "config.json\u0000",
        "notes.txt",
        "my_folder",
        ".hydra",
        "checkpoint-\u0663",
        "../" * 2000,
    ],
)
def test_clear_takes_no_name_on_trust(name: str, victim: Path) -> None:
    folder = victim.parent / "run"
    (folder / "my_folder").mkdir(parents=True)
    (folder / "adapter").mkdir()
    (folder / ".hydra").mkdir()
    (folder / "notes.txt").write_text("mine")
    (folder / "link").symlink_to(victim)
    write_json(folder / "run.json", {"files": [name.format(absolute=victim)]})
    before = tree(victim), {**tree(folder), "run.json": None}
    clear(folder)
    assert tree(victim) == before[0]
    assert {**tree(folder), "run.json": None} == before[1]
    assert not (folder / "run.json").exists()


@pytest.mark.parametrize(
    "files",
    ["config.json", 3, None, True, {"notes.txt": 1}, [None, 3, ["notes.txt"], {"a": "b"}, 1e400]],
)
def test_clear_copes_with_a_list_that_is_none(files: object, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "config.json").write_text("whose?")
    (tmp_path / "run.json").write_text(json.dumps({"files": files}))
    clear(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"notes.txt", "config.json"}


def test_clear_copes_with_a_very_long_list(tmp_path: Path) -> None:
    names = [f"../victim-{number}" for number in range(200_000)]
    (tmp_path / "config.json").write_text("ours")
    write_json(tmp_path / "run.json", {"files": [*names, "config.json"]})
    clear(tmp_path)
    assert not any(tmp_path.iterdir())


def test_clear_unlinks_a_link_and_leaves_what_it_leads_to(victim: Path) -> None:
    folder = victim.parent / "run"
    (folder / "adapter").mkdir(parents=True)
    (folder / "config.json").symlink_to(victim / "config.json")
    (folder / "tracking").symlink_to(victim)
    (folder / "checkpoint-1").symlink_to(victim / "checkpoint-1")
    (folder / "adapter" / "inner").symlink_to(victim)
    (folder / "profile").symlink_to(victim / "gone")
    write_json(
        folder / "run.json",
        {"files": ["config.json", "tracking", "checkpoint-1", "adapter", "profile"]},
    )
    before = tree(victim)
    clear(folder)
    assert tree(victim) == before
    assert not any(folder.iterdir())


def test_clear_works_in_a_folder_that_a_link_leads_to(tmp_path: Path) -> None:
    (tmp_path / "disk" / "run").mkdir(parents=True)
    (tmp_path / "outputs").symlink_to(tmp_path / "disk")
    (tmp_path / "outputs" / "run" / "config.json").write_text("ours")
    write_json(tmp_path / "outputs" / "run" / "run.json", {"files": ["config.json", "../run"]})
    clear(tmp_path / "outputs" / "run")
    assert tree(tmp_path / "disk") == {"run": None}


def test_clear_leaves_what_is_not_of_its_kind(tmp_path: Path) -> None:
    """A recorded name is a file or a folder, as a run writes it."""
    (tmp_path / "config.json").mkdir()
    (tmp_path / "config.json" / "mine").write_text("mine")
    (tmp_path / "adapter").write_text("mine")
    write_json(tmp_path / "run.json", {"files": ["config.json", "adapter"]})
    clear(tmp_path)
    assert tree(tmp_path) == {"config.json": None, "config.json/mine": "mine", "adapter": "mine"}


def test_clear_leaves_a_checkpoint_of_somebody_else(tmp_path: Path) -> None:
    for step in (5, 6, 7, 8, 9):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_text("weights")
    (tmp_path / "checkpoint-5-mine").mkdir()
    # Of another program that writes a file of that name.
    (tmp_path / "checkpoint-6" / "manifest.json").write_text('{"name": "an app"}')
    write_manifest(tmp_path / "checkpoint-7")
    incomplete_marker(tmp_path / "checkpoint-8").touch()
    # That a record lists it makes it no checkpoint of ours.
    write_json(tmp_path / "run.json", {"files": ["checkpoint-7", "checkpoint-9"]})
    clear(tmp_path)
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {"checkpoint-5", "checkpoint-5-mine", "checkpoint-6", "checkpoint-9"}


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "3",
        '"x"',
        "[" * 100_000,
        '{"files": ' + "[" * 100_000,
        "\ud800".encode("utf-8", "surrogatepass").decode("latin-1"),
    ],
)
def test_what_is_no_record_is_none(text: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_bytes(text.encode("latin-1"))
    assert read_record(tmp_path) is None


def test_a_record_that_cannot_be_opened_is_none(tmp_path: Path) -> None:
    (tmp_path / "run.json").mkdir()
    assert read_record(tmp_path) is None


def test_an_entry_of_another_type_is_left_out(tmp_path: Path) -> None:
    write_json(
        tmp_path / "run.json",
        {"phases": [], "files": ["a", 3], "world_size": "8", "git": 1, "argv": "x", "reason": None},
    )
    assert read_record(tmp_path) == {"files": ["a"], "reason": None}


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


def test_a_folder_that_cannot_be_written_to_is_rejected_and_nothing_is_made(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "nowhere").symlink_to(tmp_path / "absent" / "target")
    for name, reason in [
        ("file", "is a file, not a folder"),
        ("file/below/it", "file is a file, not a folder"),
        ("a" * 300, "File name too long"),
        ("a\0b", "null"),
        ("nowhere", "is a file, not a folder"),
    ]:
        with pytest.raises(ConfigError, match=reason):
            check_is_writable(tmp_path / name)
    check_is_writable(tmp_path / "new" / "one")
    check_is_writable(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", "nowhere"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_without_permission_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "closed").mkdir(mode=0o500)
    for name in ("closed", "closed/below"):
        with pytest.raises(ConfigError, match="Permission denied"):
            check_is_writable(tmp_path / name)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to mount")
def test_a_folder_on_a_read_only_disk_is_rejected(tmp_path: Path) -> None:
    mounted = tmp_path / "disk"
    mounted.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "ro,size=1m", "none", str(mounted)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this container may not mount")
    try:
        with pytest.raises(ConfigError, match="Read-only file system"):
            check_is_writable(mounted / "out")
    finally:
        subprocess.run(["umount", str(mounted)], check=True)
