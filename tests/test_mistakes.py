"""A run rejects what `summexp check` rejects, with the same messages, before importing torch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.mistakes import GOOD_FILES, MISTAKES, make_folder

from summexp.runs.lock import lock

ROOT = Path(__file__).resolve().parents[1]

BOTH = """
import contextlib, io, json, shlex, sys
from summexp import cli, entry

def outcome(command, words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            command(words)
        except SystemExit as end:
            return end.code, out.getvalue(), err.getvalue()

found = []
for number, line in enumerate(json.load(sys.stdin)):
    words = shlex.split(line)
    checked = outcome(cli.main, ["check", *words])
    # What was not rejected would be trained. One check serves both, so a third of them will do.
    runs = checked[0] == 2 and number % 3 == 0
    found.append((checked, outcome(entry.main, words) if runs else checked))
print(json.dumps({"found": found, "torch": "torch" in sys.modules}))
"""


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(
    "mistakes", [MISTAKES[::18], pytest.param(MISTAKES, marks=pytest.mark.slow)]
)
def test_check_and_run_reject_the_same_for_the_same_reasons(
    mistakes: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    make_folder(tmp_path)
    lines = [line.replace("{F}", GOOD_FILES) for line, _ in mistakes]
    held = lock(tmp_path / "locked")
    before = {*tmp_path.rglob("*")}
    try:
        done = subprocess.run(
            [sys.executable, "-c", BOTH],
            cwd=tmp_path,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(tmp_path / "hub")},
            input=json.dumps(lines),
            capture_output=True,
            text=True,
            timeout=1700,
            check=True,
        )
    finally:
        held.release()
    result = json.loads(done.stdout)
    assert not result["torch"]
    for (line, key), (checked, run) in zip(mistakes, result["found"], strict=True):
        code, out, err = checked
        assert (line, code, out) == (line, 2, "")
        assert (line, run) == (line, checked)
        assert "Traceback" not in err
        if key is not None:
            assert err.startswith(f"1 problem:\n  {key}: "), (line, err)
    assert {*tmp_path.rglob("*")} == before
