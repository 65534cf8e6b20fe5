"""Runs of `train.py` in this very process: cheap, but for nothing that ends, forks or signals."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from summexp.check import check
from summexp.command_line import parse
from summexp.runs.phase_runner import run_phases
from summexp.runs.record import begin
from summexp.runs.resume import plan_run


def run(*words: str, folder: Path) -> None:
    """Run `train.py` with `words` in `folder`, to its end."""
    (job,) = check(parse(["hardware=cpu", *words]))
    folder.mkdir(parents=True, exist_ok=True)
    config = replace(job.config, output_dir=str(folder))
    plan = plan_run(config, folder)
    run_phases(config, folder, begin(config, folder, resumes=plan.resumes), plan)
