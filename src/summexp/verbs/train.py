"""`summexp train`: the entry of `train.py` for whoever installed the wheel.

Tested in tests/test_cli.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from summexp import entry
from summexp.command_line import asks_for_help
from summexp.runs.command import INSTALLED, MODULE

HELP = """\
usage: summexp train [FLAG ...] [GROUP=CHOICE ...] [KEY=VALUE ...]

Train, evaluate and predict; the same as train.py of a checkout.

examples:
  summexp train                                            the bundled corpus and a tiny model
  summexp train model=t5_small data=cnn_dailymail hardware=gpu_bf16
  summexp train data=custom_csv data.train_file=train.csv data.validation_file=dev.csv
  summexp train -m model=t5_tiny seed=1,2,3                a sweep of three runs
  summexp train --config-dir mine model=my_model           your own choices, in mine/model/

Every group, choice and key:
"""


def run_verb(words: list[str]) -> int:
    """Run `summexp train` with the words behind it, and return the exit code."""
    if asks_for_help(words):
        print(HELP)
    # The run records it as its command line.
    sys.argv = [MODULE if Path(sys.argv[0]).name == "__main__.py" else INSTALLED, *words]
    entry.main(words)
    return 0
