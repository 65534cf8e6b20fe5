"""Whoever forbids the network by a variable is never online, in no job of a sweep."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.local_hub import LocalHub

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
WORDS = ("hardware=cpu", "model=custom", "model.name_or_path=someone/tiny")


@pytest.mark.slow
def test_no_job_of_a_sweep_asks_the_hub(tmp_path: Path) -> None:
    # Other variables and values: tests/runs/test_process_environment.py.
    with LocalHub() as hub:
        environment = {**os.environ, **hub.environment(tmp_path / "home")}
        del environment["HF_HUB_OFFLINE"]
        done = subprocess.run(
            [sys.executable, str(TRAIN), "-m", *WORDS, "seed=1,2", "output_dir=sweep"],
            env=environment | {"TRANSFORMERS_OFFLINE": "TRUE"},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert done.returncode != 0
    for job in "01":
        log = (tmp_path / "sweep" / job / "train.log").read_text(encoding="utf-8")
        assert "someone/tiny" in log
        assert "The run is offline" in log
    assert hub.requests == []
