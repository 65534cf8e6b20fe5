"""`summexp check`: composes and checks a command line without running it.

Tested in tests/test_cli.py.
"""

from __future__ import annotations

import sys
from pathlib import Path

from summexp.check import check
from summexp.command_line import asks_for_help, parse
from summexp.config.error_report import report_error
from summexp.config.schema import Config
from summexp.data.files import existing
from summexp.errors import ConfigError
from summexp.launch.hydra_jobs import CheckedJob
from summexp.reports.texts import shown_size
from summexp.runs.process_environment import cache_remark
from summexp.runs.resume import plan_run
from summexp.streams import show

_SHOWN_JOBS = 20

HELP = """\
usage: summexp check [FLAG ...] [GROUP=CHOICE ...] [KEY=VALUE ...]

Compose the config, check it, its files and this machine like `summexp train` with the same
arguments, and print what would run. Nothing is run, downloaded or written. The exit code is 0 if a
run could start, else 2, with every problem on standard error.

examples:
  summexp check model=t5_small data=cnn_dailymail
  summexp check data=custom_csv data.train_file=train.csv data.text_column=dialogue
  summexp check -m model=t5_small,bart_base seed=1,2
"""


def run_verb(words: list[str]) -> int:
    """Run `summexp check` with the words behind it, and return the exit code."""
    if asks_for_help(words):
        return show(HELP.rstrip())
    try:
        command = parse(words)
        jobs = check(command)
    except ConfigError as error:
        report_error(error)
        return error.exit_code
    if remark := cache_remark(jobs[0].config):
        print(remark, file=sys.stderr)
    return show(_described_sweep(jobs) if command.multirun else _described(jobs[0]))


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
