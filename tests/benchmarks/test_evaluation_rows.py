"""The ways that are measured give the same; how fast they are is not tested here."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARK = Path(__file__).parents[2] / "benchmarks" / "evaluation_rows.py"


@pytest.mark.slow
def test_both_ways_give_the_same_batches_and_texts() -> None:
    command = [sys.executable, BENCHMARK, "--rows", "50"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.partition(":")[0] for line in lines] == ["without documents", "with documents"]
