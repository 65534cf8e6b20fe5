"""The `summexp` command and its verbs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from summexp import entry
from summexp.check import check
from summexp.command_line import parse
from summexp.config.error_report import report_error
from summexp.config.schema import Config
from summexp.data.files import existing
from summexp.distributed.signals import end_on_signals
from summexp.errors import EXIT_USAGE, ConfigError, nearest
from summexp.launch.hydra_jobs import CheckedJob
from summexp.reports.texts import shown_size
from summexp.runs.command import INSTALLED, MODULE
from summexp.runs.process_environment import cache_remark
from summexp.runs.resume import plan_run
from summexp.streams import guard_standard_streams, show

_SHOWN_JOBS = 20

TRAIN_HELP = """\
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

CHECK_HELP = """\
usage: summexp check [FLAG ...] [GROUP=CHOICE ...] [KEY=VALUE ...]

Compose the config, check it, its files and this machine like `summexp train` with the same
arguments, and print what would run. Nothing is run, downloaded or written. The exit code is 0 if a
run could start, else 2, with every problem on standard error.

examples:
  summexp check model=t5_small data=cnn_dailymail
  summexp check data=custom_csv data.train_file=train.csv data.text_column=dialogue
  summexp check -m model=t5_small,bart_base seed=1,2
"""


@dataclass(frozen=True)
class _Verb:
    summary: str
    run: Callable[[list[str]], int]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command line of `summexp` and exit with its code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    guard_standard_streams()
    end_on_signals()
    sys.exit(_run(words))


def _run(words: list[str]) -> int:
    if not words or words[0] in ("-h", "--help", "help"):
        code = show(_overview())
        return code if words else EXIT_USAGE
    if words[0] == "--version":
        return entry.show_version()
    verb = _VERBS.get(words[0])
    if verb is None:
        known = f"The verbs are {', '.join(_VERBS)}; see summexp --help."
        hint = " ".join(filter(None, (nearest(words[0], _VERBS), known)))
        report_error(ConfigError(f"there is no verb {words[0]!r}\n    {hint}"))
        return EXIT_USAGE
    return verb.run(words[1:])


def _overview() -> str:
    listed = "\n".join(f"  {name:8} {verb.summary}" for name, verb in _VERBS.items())
    return (
        "usage: summexp VERB ...\n\n"
        "Fine-tune, evaluate and compare summarization models.\n\n"
        f"verbs:\n{listed}\n\n"
        "examples:\n"
        "  summexp train model=t5_small data=cnn_dailymail\n"
        "  summexp check data=custom_csv data.train_file=train.csv\n"
        "  summexp train --help\n\n"
        "flags:\n  --help     show this help; after a verb, that of the verb\n"
        "  --version  show the version"
    )


def _train(words: list[str]) -> int:
    if _asks_for_help(words):
        print(TRAIN_HELP)
    # The run records it as its command line.
    sys.argv = [MODULE if Path(sys.argv[0]).name == "__main__.py" else INSTALLED, *words]
    entry.main(words)
    return 0


def _check(words: list[str]) -> int:
    if _asks_for_help(words):
        return show(CHECK_HELP.rstrip())
    try:
        command = parse(words)
        jobs = check(command)
    except ConfigError as error:
        report_error(error)
        return error.exit_code
    if remark := cache_remark(jobs[0].config):
        print(remark, file=sys.stderr)
    return show(_described_sweep(jobs) if command.multirun else _described(jobs[0]))


def _migrate(words: list[str]) -> int:
    # Imports the table of the old scripts' flags.
    from summexp.migrate.verb import run_verb

    return run_verb(words)


def _asks_for_help(words: list[str]) -> bool:
    return "--help" in words or "-h" in words


def _described(job: CheckedJob) -> str:
    """Format the phases, data and folder of a job."""
    config = job.config
    phases = [name for name, is_left in _phases(config).items() if is_left]
    rows = {
        "model": _model(config),
        "data": _data(config) if phases else "not read",
        "phases": ", ".join(phases) or "none, the run is already finished",
        "device": config.hardware.backend,
        "folder": config.output_dir or "a new folder under outputs/",
    }
    if job.inherited is not None:
        rows["config"] = str(job.inherited)
    lines = [f"{name:8} {value}" for name, value in rows.items()]
    return "\n".join(["all checks passed:", *lines])


def _phases(config: Config) -> dict[str, bool]:
    """Return the phases and whether each remains, for a new or an existing run folder."""
    if config.output_dir is None:
        training = config.training
        return {
            "train": training.do_train,
            "eval": training.do_eval,
            "predict": training.do_predict,
        }
    plan = plan_run(config, Path(config.output_dir))
    return {"train": plan.train, "eval": plan.evaluate, "predict": plan.predict}


def _model(config: Config) -> str:
    model = config.model
    family = model.architecture.get("model_type")
    if config.debug.tiny:
        return f"a tiny {family or model.name_or_path}, random weights"
    if model.init == "random":
        return f"{family or model.config_name or model.name_or_path}, random weights"
    return str(model.name_or_path)


def _data(config: Config) -> str:
    data = config.data
    if data.name is not None:
        parts = [data.name, data.config_name]
        return " ".join(part for part in parts if part)
    left = _phases(config)
    files = {
        "train": data.train_file if left["train"] else None,
        "validation": data.validation_file if left["eval"] else None,
        "test": data.test_file if left["predict"] else None,
    }
    if left["eval"]:
        files |= {f"validation {name}": path for name, path in data.validation_files.items()}
    named = [f"{split} {_sized(path)}" for split, path in files.items() if path]
    return ", ".join(named) or "synthetic rows"


def _sized(path: str) -> str:
    return f"{path} ({shown_size(existing(path).stat().st_size)})"


def _described_sweep(jobs: list[CheckedJob]) -> str:
    """Format the jobs of a sweep, one per line."""
    count = len(jobs)
    lines = [f"all checks passed for this sweep of {count} job{'' if count == 1 else 's'}:"]
    lines += [
        f"{number:4} {' '.join(job.overrides) or '(defaults)'}"
        for number, job in enumerate(jobs[:_SHOWN_JOBS])
    ]
    if count > _SHOWN_JOBS:
        lines.append(f"     … and {count - _SHOWN_JOBS} more")
    folder = jobs[0].config.output_dir or "a new folder under multirun/"
    return "\n".join([*lines, f"folder   {folder}, with a numbered folder for each job"])


_VERBS = {
    "train": _Verb("train, evaluate and predict", _train),
    "check": _Verb("compose the config and check it without running", _check),
    "migrate": _Verb("convert a command of the old scripts", _migrate),
}
"""Verbs of `summexp`, name to implementation."""
