from __future__ import annotations

import getpass
import json
import multiprocessing
import os
import pwd
import socket
import subprocess
import sys
from concurrent.futures import ProcessPoolExecutor
from itertools import takewhile
from pathlib import Path

import pytest
from tests import forked

from summexp.errors import ConfigError
from summexp.runs.lock import HOLDER_FILE, lock, read_holder


def _try_lock(folder: Path) -> str:
    try:
        lock(folder)
    except ConfigError as error:
        return str(error)
    return "taken"


def test_rejects_another_process_and_is_free_after_its_end(tmp_path: Path) -> None:
    held = lock(tmp_path)
    # The same process may take it again: the check before the run and the run itself both do.
    lock(tmp_path).release()
    assert "another run is using" in rejection(tmp_path)
    held.release(force=True)
    assert rejection(tmp_path) == "taken"


def rejection(folder: Path) -> str:
    """What another process is told that wants the lock of `folder`."""
    return forked.result(_try_lock, folder)


def test_the_error_names_the_holder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["train.py", "output_dir=my run", "seed=7"])
    held = lock(tmp_path)
    reported = rejection(tmp_path)
    holder = f"process {os.getpid()} of {getpass.getuser()} on {socket.gethostname()}, since 20"
    assert holder in reported
    assert ": python train.py 'output_dir=my run' seed=7\n" in reported
    assert (
        f"stop it (kill {os.getpid()}), or choose another folder, such as output_dir=" in reported
    )
    held.release(force=True)


def test_a_holder_on_another_host(tmp_path: Path) -> None:
    held = lock(tmp_path)
    file = tmp_path / HOLDER_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"host": "gpu7", "pid": 4242}))
    reported = rejection(tmp_path)
    assert "process 4242 of " in reported
    assert f"stop it on gpu7 (kill 4242; this is {socket.gethostname()})" in reported
    held.release(force=True)


@pytest.mark.parametrize("content", ["", "[]", '{"pid": 1}', "\0"])
def test_a_holder_that_cannot_be_read(content: str, tmp_path: Path) -> None:
    held = lock(tmp_path)
    (tmp_path / HOLDER_FILE).write_text(content)
    assert f"its process cannot be read from {HOLDER_FILE}" in rejection(tmp_path)
    (tmp_path / HOLDER_FILE).unlink()
    assert f"its process cannot be read from {HOLDER_FILE}" in rejection(tmp_path)
    held.release(force=True)


def test_the_details_of_a_process_that_is_gone_are_not_taken_for_the_holder(tmp_path: Path) -> None:
    held = lock(tmp_path)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    file = tmp_path / HOLDER_FILE
    file.write_text(json.dumps(json.loads(file.read_text()) | {"pid": ended.pid}))
    assert read_holder(tmp_path) is None
    held.release(force=True)


def _is_pytests(folder: Path) -> bool:
    return folder.name.startswith(("test_", "popen-", "pytest-"))


def _lock_as_nobody(folder: Path) -> str:
    nobody = pwd.getpwnam("nobody")
    os.setgid(nobody.pw_gid)
    os.setuid(nobody.pw_uid)
    return _try_lock(folder)


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become another user")
def test_a_folder_that_cannot_be_locked(tmp_path: Path) -> None:
    # How deep pytest's folders are depends on the number of its workers.
    for folder in takewhile(_is_pytests, (tmp_path, *tmp_path.parents)):
        folder.chmod(0o755)
    fork = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(1, mp_context=fork) as pool:
        reported = pool.submit(_lock_as_nobody, tmp_path).result()
    assert "output_dir: " in reported
    assert "Permission denied" in reported
