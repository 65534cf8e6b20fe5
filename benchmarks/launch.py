"""CPU seconds that `python train.py` adds to each rank that it starts, over torchrun.

    python benchmarks/launch.py

The run is `hardware=ddp2_cpu debug=tiny`: two ranks that train, evaluate and save a tiny, started
once by train.py itself and once by `torchrun --standalone`, in turn, so that a busy machine slows
both alike. Counted are user and system time of the whole tree of processes, of which each has been
waited for by the one that started it. What the two have in common is measured beside it: one
process that does the same run, and the imports that each rank begins with.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TRAIN = str(Path(__file__).resolve().parents[1] / "train.py")
RANKS = 2
RUN = [TRAIN, "hardware=ddp2_cpu", "debug=tiny"]
TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", str(RANKS)]
OURS, THEIRS = "python train.py hardware=ddp2_cpu", "torchrun train.py hardware=ddp2_cpu"
ASKED_FOR = 3.0
"""At most so many seconds a rank more than torchrun."""

COMMANDS = {
    OURS: RUN,
    THEIRS: [*TORCHRUN, *RUN],
    "python train.py hardware=cpu": [TRAIN, "hardware=cpu", "debug=tiny"],
    "a rank's imports": [
        "-c",
        "import summexp.worker, summexp.runs.phase_runner, summexp.engines.trainer",
    ],
    "import torch": ["-c", "import torch"],
}
"""Measured commands: name to the arguments of `python`."""


def cpu_seconds(words: list[str], folder: Path) -> float:
    """Return user and system seconds of `python WORDS` in `folder`, and of all that it started.

    Raises:
        RuntimeError: it did not end well, or not with two ranks where two were asked for.
    """
    folder.mkdir()
    is_run = TRAIN in words
    before = os.times()
    done = subprocess.run(
        [sys.executable, *words, *(["output_dir=run"] if is_run else [])],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    if done.returncode:
        raise RuntimeError(f"{words} ended with {done.returncode}:\n{done.stderr}")
    if is_run:
        size = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["world_size"]
        if size != (1 if "hardware=cpu" in words else RANKS):
            raise RuntimeError(f"{words} ran on {size} ranks")
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def measure(repeats: int) -> dict[str, list[float]]:
    """Return the CPU seconds of each command, after a round that warms the disk's cache."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    with tempfile.TemporaryDirectory() as place:
        for number in range(repeats + 1):
            for name, words in COMMANDS.items():
                spent = cpu_seconds(words, Path(place, f"{number}-{list(COMMANDS).index(name)}"))
                if number:
                    seconds[name].append(spent)
    return seconds


def main() -> None:
    """Measure and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--repeats", type=int, default=5)
    seconds = measure(parser.parse_args().repeats)
    print("| debug=tiny | CPU s, median | least | most |\n|---|---|---|---|")
    for name, spent in seconds.items():
        median = statistics.median(spent)
        print(f"| {name} | {median:.1f} | {min(spent):.1f} | {max(spent):.1f} |")
    pairs = zip(seconds[OURS], seconds[THEIRS], strict=True)
    added = [(ours - theirs) / RANKS for ours, theirs in pairs]
    print(f"\nadded to each rank, pair by pair: {', '.join(f'{one:+.2f}' for one in added)}")
    median = statistics.median(added)
    verdict = "kept" if median <= ASKED_FOR else "missed"
    print(f"median {median:+.2f} s; at most {ASKED_FOR:.0f} s: {verdict}")


if __name__ == "__main__":
    main()
