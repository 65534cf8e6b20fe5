"""`summexp migrate`: prints the new commands for old ones, or runs one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from summexp import entry
from summexp.config.error_report import report_error
from summexp.config.secrets import without_secrets
from summexp.errors import ConfigError
from summexp.migrate.command import Migration, migrate
from summexp.migrate.expansion import reject_unexpanded
from summexp.runs.command import INSTALLED
from summexp.streams import print_error, show

HELP = """\
usage: summexp migrate [--run] [--parity] "OLD COMMAND"
       summexp migrate [--run] [--parity] -- OLD COMMAND
       summexp migrate [--run] [--parity] [-]

Translates commands of the Hugging Face scripts run_summarization.py and
run_summarization_no_trainer.py (PyTorch or TensorFlow; with python, torchrun, accelerate launch,
deepspeed or xla_spawn.py in front), as pasted or in a shell script. Standard output has one
`python train.py …` line for each command; a for loop over values is a sweep (-m). What changed, was
left out or differs goes to standard error. Nothing is downloaded, and the files need not be there.
Without a command it is read from standard input.

  --run     run the new command too, as `summexp train` would
  --parity  keep the numbers of run_summarization.py, traps and all: experiment=hf_parity and its
            own defaults, for one process

examples:
  summexp migrate "python run_summarization.py --model_name_or_path t5-small --do_train \\
    --dataset_name xsum --source_prefix 'summarize: ' --output_dir out --predict_with_generate"
  summexp migrate -- torchrun --nproc_per_node 8 run_summarization.py args.json
  summexp migrate < train.sh
  summexp migrate --run "$(cat train.sh)"
  summexp migrate --parity < train.sh

Exit code 0; 2 if there is no old command, one that the old script would have rejected too, or a
shell construct that is not supported, such as an array or $(…).
docs/coming-from-the-scripts.md lists every flag and those constructs.
"""

_RUN, _PARITY = "--run", "--parity"
_FLAGS = {_RUN, _PARITY}


def run_verb(words: list[str]) -> int:
    """Run `summexp migrate` with the words behind it, and return the exit code."""
    flags, command = _read_flags(words)
    if command is None:
        return show(HELP.rstrip())
    try:
        found = migrate(_text(command), parity=_PARITY in flags)
        if _RUN in flags:
            _check_runnable(found)
    except ConfigError as error:
        report_error(error)
        return error.exit_code
    for one in found:
        for remark in one.remarks:
            print_error(without_secrets(" ".join(remark.split())))
    code = show("\n".join(one.line for one in found))
    if _RUN in flags:
        _run(found[0])
    return code


def _check_runnable(found: list[Migration]) -> None:
    """Check that there is one new command, which needs no shell.

    Raises:
        ConfigError: there are several, or a variable in front of it is not expanded.
    """
    if len(found) > 1:
        hint = "Leave --run out, and run the lines that it prints."
        raise ConfigError.of(what=f"--run takes one command, not {len(found)}", hint=hint)
    reject_unexpanded(found[0].environment.values())


def _read_flags(words: list[str]) -> tuple[set[str], list[str] | None]:
    """Return our flags, and the words of the old command; None instead of them for --help."""
    rest = list(words)
    flags: set[str] = set()
    # Behind a command in quotes, ours may follow; words of it may not be ours.
    if len(rest) > 1 and any(char.isspace() for char in rest[0]) and set(rest[1:]) <= _FLAGS:
        flags, rest = set(rest[1:]), rest[:1]
    while (rest and rest[0].startswith("--")) or rest[:1] == ["-h"]:
        flag = rest.pop(0)
        if flag in ("--help", "-h"):
            return flags, None
        if flag == "--":
            return flags, rest
        if flag not in _FLAGS:
            rest.insert(0, flag)
            break
        flags.add(flag)
    return flags, rest


def _text(command: Sequence[str]) -> str | Sequence[str]:
    """Return the old command: in quotes, word by word, or from standard input."""
    if list(command) in ([], ["-"]):
        if sys.stdin.isatty():
            print_error("reading the old command from standard input; end it with Ctrl-D")
        return sys.stdin.read()
    if len(command) > 1:
        return command
    (text,) = command
    if text.endswith(".sh") and not text.endswith(" .sh") and Path(text).is_file():
        hint = f"Read it from standard input: summexp migrate < {text}"
        raise ConfigError.of(what=f"{text} is a file, not a command", hint=hint)
    return text


def _run(found: Migration) -> None:
    """Run the new command in this process, which ends with it."""
    os.environ.update(found.environment)
    sys.argv = [INSTALLED, *found.words]
    entry.main(found.words)
