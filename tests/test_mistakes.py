"""What `summexp check` refuses a run refuses too, with the same words, and before torch."""

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
for line in json.load(sys.stdin):
    words = shlex.split(line)
    found.append((outcome(cli.main, ["check", *words]), outcome(entry.main, words)))
print(json.dumps({"found": found, "torch": "torch" in sys.modules}))
"""


@pytest.mark.parametrize(
    "mistakes", [MISTAKES[::2], pytest.param(MISTAKES, marks=pytest.mark.slow)]
)
def test_check_and_run_refuse_the_same_for_the_same_reasons(
    mistakes: list[tuple[str, str | None]], tmp_path: Path
) -> None:
    assert len(mistakes) >= 60
    make_folder(tmp_path)
    lines = [line.replace("{F}", GOOD_FILES) for line, _ in mistakes]
    before = sorted(tmp_path.rglob("*"))
    held = lock(tmp_path / "locked")
    try:
        done = subprocess.run(
            [sys.executable, "-c", BOTH],
            cwd=tmp_path,
            env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "HF_HOME": str(tmp_path / "hub")},
            input=json.dumps(lines),
            capture_output=True,
            text=True,
            timeout=550,
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
    left = {path for path in tmp_path.rglob("*") if path.name != ".summexp.lock"}
    assert left == {*before}
