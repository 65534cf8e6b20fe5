"""Runs whose disk or cache cannot be written: real small file systems, real limits, real users."""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests import forked
from tests.local_hub import LocalHub

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
ROOT = os.geteuid() == 0 if hasattr(os, "geteuid") else False
TINY = ("debug=tiny", "output_dir=run", "data.max_eval_samples=2")
EACH_STEP = (
    "training.save_strategy=steps",
    "training.save_steps=1",
    "training.save_total_limit=null",
    "training.eval_strategy=no",
    "training.max_steps=4",
)


def run(
    *words: str,
    cwd: Path,
    log: Path,
    before: Callable[[], None] | None = None,
    environment: dict[str, str] | None = None,
) -> tuple[int, str]:
    log = log / f"{time.monotonic_ns()}.log"
    process = forked.start(*words, log=log, cwd=cwd, before=before, environment=environment)
    process.join(300)
    output = log.read_text(encoding="utf-8")
    assert process.exitcode is not None, output
    for sign in ("Traceback", "bug in summexp", "Logging error", "Exception ignored"):
        assert sign not in output, output
    return process.exitcode, output


def record(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "run.json").read_text(encoding="utf-8"))


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system with room for two checkpoints of the tiny model, and no third."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2600k", "tmpfs", str(disk)]
    if not ROOT or subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("a file system can be mounted by root alone")
    yield disk
    subprocess.run(["umount", "--lazy", str(disk)], check=True)


def fill(disk: Path) -> Path:
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(1 << 20)):
            pass
    return filler


def grow(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=20m", str(disk)], check=True)


@pytest.mark.parametrize(
    "words",
    [
        ["engine=accelerate"],
        pytest.param(
            ["engine=trainer", "hardware=ddp2_cpu", "training.dataloader_num_workers=1"],
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_full_disk_ends_a_run_that_resumes(
    small_disk: Path, words: list[str], tmp_path: Path
) -> None:
    code, output = run(*TINY, *EACH_STEP, *words, cwd=small_disk, log=tmp_path)
    assert code == 1
    reported = (
        "cannot write checkpoint-3 to run: No space left on device; checkpoint-2 is complete: "
        "free some space, and the same command with output_dir=run resumes from there"
    )
    assert output.count(reported) == 1
    folder = small_disk / "run"
    assert (record(folder)["status"], record(folder)["reason"]) == ("failed", reported)
    kept = sorted(path.name for path in folder.glob("checkpoint-*"))
    assert kept == ["checkpoint-1", "checkpoint-2"]
    assert not [path.name for path in folder.iterdir() if path.name.startswith(".run.json")]
    grow(small_disk)
    code, output = run(*TINY, *EACH_STEP, *words, cwd=small_disk, log=tmp_path)
    assert (code, "checkpoint-2" in output) == (0, True), output
    assert record(folder)["status"] == "finished"
    assert record(folder)["phases"]["train"]["steps"] == 4
    assert not (folder / ".summexp.reserve").exists()


def test_a_disk_that_is_full_at_prediction_keeps_the_model(
    small_disk: Path, tmp_path: Path
) -> None:
    words = (*TINY, "training.save_strategy=no")
    assert run(*words, cwd=small_disk, log=tmp_path)[0] == 0
    folder = small_disk / "run"
    filler = fill(small_disk)
    scores = (folder / "all_results.json").read_bytes()
    code, output = run(*words, "training.do_predict=true", cwd=small_disk, log=tmp_path)
    assert code == 1
    assert " to run: No space left on device; the trained model is complete" in output
    assert (folder / "all_results.json").read_bytes() == scores
    filler.unlink()
    assert run(*words, "training.do_predict=true", cwd=small_disk, log=tmp_path)[0] == 0
    assert record(folder)["status"] == "finished"
    assert (folder / "generated_predictions.jsonl").is_file()


def limit_files() -> None:
    # The weights fit, the optimizer's state does not.
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))


def test_a_limit_on_files_is_named(tmp_path: Path) -> None:
    words = (*TINY, *EACH_STEP, "tracking=tensorboard")
    code, output = run(*words, cwd=tmp_path, log=tmp_path, before=limit_files)
    assert code == 1
    reported = (
        "cannot write checkpoint-1 to run: File too large; no checkpoint was saved yet: "
        "raise the file size limit (ulimit -f), and the same command with "
        "output_dir=run starts from the beginning"
    )
    assert output.count(reported) == 1
    assert record(tmp_path / "run")["reason"] == reported
    assert not list((tmp_path / "run").glob("checkpoint-*"))


def test_a_run_that_cannot_begin_reports_it(small_disk: Path, tmp_path: Path) -> None:
    fill(small_disk)
    code, output = run(*TINY, cwd=small_disk, log=tmp_path)
    assert code == 1
    assert ": No space left on device; free some space" in output
    assert len(output.splitlines()) == 1


SMALL = (
    "output_dir=run",
    "hardware=cpu",
    "training.max_steps=1",
    "training.do_eval=false",
    "training.eval_strategy=no",
    "training.save_strategy=no",
    "data=custom_json",
    "data.train_file=train.jsonl",
    "data.validation_file=null",
    "model.architecture.num_layers=1",
)


def write_rows(folder: Path) -> None:
    rows = [{"document": f"요약할 글 {number}. " * 9, "summary": "요약"} for number in range(8)]
    text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    (folder / "train.jsonl").write_text(text, encoding="utf-8")


@pytest.fixture
def read_only(small_disk: Path) -> Path:
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    return small_disk


def check_uncached(output: str, work: Path, reason: str) -> None:
    assert output.count("caching is disabled: ") == 1, output
    assert reason in output
    assert record(work / "run")["status"] == "finished"
    assert sorted(path.name for path in work.iterdir()) == ["run", "train.jsonl"]


@pytest.mark.parametrize("case", ["a file", "read-only", "full"])
def test_a_cache_that_cannot_be_written_is_done_without(
    case: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    work = tmp_path / "work"
    work.mkdir()
    write_rows(work)
    if case == "a file":
        (tmp_path / "taken").write_text("")
        cache, reason = tmp_path / "taken" / "cache", "Not a directory"
        environment = {"SUMMEXP_CACHE": str(cache)}
    elif case == "full":
        cache, reason = request.getfixturevalue("small_disk"), "No space left on device"
        fill(cache)
        environment = {"SUMMEXP_CACHE": str(cache)}
    else:
        cache, reason = request.getfixturevalue("read_only"), "Read-only file system"
        # All caches of a home.
        environment = {"SUMMEXP_CACHE": "", "XDG_CACHE_HOME": "", "HF_HOME": "", "HOME": str(cache)}
        cache = cache / ".cache" / "summexp"
    code, output = run(*SMALL, cwd=work, log=tmp_path, environment=environment)
    assert code == 0, output
    check_uncached(output, work, f"{cache} is not writable ({reason})")


@pytest.mark.slow
def test_a_user_without_a_home_has_no_cache(tmp_path: Path) -> None:
    """As in a container that runs under a number; it may read what the interpreter is made of."""
    if not ROOT or shutil.which("setpriv") is None:
        pytest.skip("another user can be taken by root alone, with setpriv")
    work = tmp_path / "work"
    work.mkdir()
    write_rows(work)
    os.chown(work, 54321, 54321)
    user = ["setpriv", "--reuid=54321", "--regid=54321", "--clear-groups"]
    reads = ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    done = subprocess.run(
        [*user, *reads, sys.executable, str(TRAIN), *SMALL],
        cwd=work,
        env={"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, "Traceback" in done.stdout) == (0, False), done.stdout
    check_uncached(done.stdout, work, "no home folder")


@pytest.mark.slow
@pytest.mark.parametrize("case", ["a file", "full"])
def test_a_hub_dataset_is_read_where_no_download_can_be_kept(
    case: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    write_rows(tmp_path)
    rows = (tmp_path / "train.jsonl").read_bytes()
    if case == "full":
        home = request.getfixturevalue("small_disk")
        fill(home)
    else:
        (tmp_path / "taken").write_text("")
        home = tmp_path / "taken" / "hub"
    expected = f"downloads are not cached: {home} is not writable; set HF_HOME to a folder"
    with LocalHub() as hub:
        hub.add("owner/chats", {"train.jsonl": rows})
        words = [word for word in SMALL if not word.startswith("data")]
        words += ["data=custom_hub", "data.name=owner/chats", "data.validation_split=train"]
        done = subprocess.run(
            [sys.executable, str(TRAIN), *words],
            cwd=tmp_path,
            env={
                **os.environ,
                **hub.environment(home),
                "HF_HOME": str(home),
                "SUMMEXP_CACHE": str(tmp_path / "cache"),
            },
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert done.stderr.count(expected) == 1, done.stderr
    assert record(tmp_path / "run")["status"] == "finished"
