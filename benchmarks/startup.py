"""CPU seconds until help, the composed config, a check or a mistake is answered, with a yardstick.

    python benchmarks/startup.py
    python benchmarks/startup.py --old-script run_summarization.py --data ../shared/data/mts_dialog

Each figure is the median over several processes of user and system time together, measured in turn
so that a busy machine slows all of them alike. The old script, which is Hugging Face's, looks for
nltk's punkt when it starts; this gives it an empty folder of that name.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

TRAIN = Path(__file__).resolve().parents[1] / "train.py"
SUMMEXP = "from summexp.cli import main; main()"
BARE = "bare Hydra (import hydra)"
OLD = "run_summarization.py -h"
ASKED_FOR = 0.1
"""At most this share of the old script's time."""


def commands(old_script: Path | None, data: Path | None) -> dict[str, list[str]]:
    """Return what to measure: its name, and the words after `python`."""
    train = str(TRAIN)
    measured = {
        BARE: ["-c", "import hydra"],
        "train.py --help": [train, "--help"],
        "train.py --cfg job": [train, "--cfg", "job"],
        "train.py model=t5_smal (a mistake)": [train, "model=t5_smal"],
        "summexp check": ["-c", SUMMEXP, "check"],
    }
    if data is not None:
        words = [
            "data=custom_csv",
            f"data.train_file={data / 'train.csv'}",
            f"data.validation_file={data / 'validation.csv'}",
            "data.text_column=dialogue",
            "data.summary_column=section_text",
        ]
        measured["summexp check of CSV files"] = ["-c", SUMMEXP, "check", *words]
    if old_script is not None:
        measured[OLD] = [str(old_script.resolve()), "-h"]
    return measured


def cpu_seconds(words: list[str], folder: str) -> float:
    """Return user and system seconds of one process that runs `python WORDS` in `folder`.

    Raises:
        RuntimeError: it ended otherwise than well or with a mistake told.
    """
    before = os.times()
    done = subprocess.run(
        [sys.executable, *words],
        cwd=folder,
        env={**os.environ, "NLTK_DATA": folder},
        capture_output=True,
        text=True,
        check=False,
    )
    after = os.times()
    if done.returncode not in (0, 2):
        raise RuntimeError(f"{words} ended with {done.returncode}:\n{done.stderr}")
    user = after.children_user - before.children_user
    return user + after.children_system - before.children_system


def measure(measured: dict[str, list[str]], repeats: int) -> dict[str, float]:
    """Return the median CPU seconds of each command, after a round that warms the disk's cache."""
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "tokenizers", "punkt").mkdir(parents=True)
        for number in range(repeats + 1):
            for name, words in measured.items():
                spent = cpu_seconds(words, folder)
                if number:
                    seconds[name].append(spent)
    return {name: statistics.median(values) for name, values in seconds.items()}


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--old-script", type=Path, help="run_summarization.py, to compare with")
    parser.add_argument("--data", type=Path, help="folder of mts_dialog, to check its CSV files")
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    data = args.data.resolve() if args.data else None
    medians = measure(commands(args.old_script, data), args.repeats)
    old = medians.get(OLD)
    print(f"{'':38} CPU s   x bare Hydra{'   share of the old script' if old else ''}")
    for name, seconds in medians.items():
        share = f"   {100 * seconds / old:6.1f} %" if old else ""
        print(f"{name:38} {seconds:5.2f}   {seconds / medians[BARE]:12.1f}{share}")
    if old:
        worst = max(value for name, value in medians.items() if name != OLD)
        verdict = "kept" if worst <= ASKED_FOR * old else "missed"
        print(f"at most a tenth of the old script: {verdict} ({100 * worst / old:.1f} %)")


if __name__ == "__main__":
    main()
