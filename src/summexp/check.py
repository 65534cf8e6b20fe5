"""Checks of a command line before a run, without importing torch or starting a process."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock
from omegaconf import OmegaConf

from summexp.command_line import CommandLine
from summexp.config.compose import ChoiceTree, choice_tree
from summexp.config.keys import default_advice
from summexp.config.model_generation_rules import folder_problems
from summexp.config.model_kind_rules import is_decoder_only_folder, kind_problems
from summexp.config.overrides import check_overrides
from summexp.config.schema import Config
from summexp.config.typed import Reading, read_tree
from summexp.data.data_checks import check_data
from summexp.data.source_files import Inspections
from summexp.distributed.world import outside_world
from summexp.engines.optimizer_rules import check_optimizer
from summexp.errors import ConfigError, Problem
from summexp.launch.hydra_jobs import CheckedJob
from summexp.launch.launch_checks import check_hardware, check_launch, is_elsewhere
from summexp.launch.slurm.slurm_checks import check_slurm
from summexp.metrics.registry import chosen_metrics
from summexp.modeling.model_checks import check_adapter, check_model
from summexp.run_folder.creation import FRESH_FOLDERS, check_is_writable
from summexp.run_folder.record_file import read_record
from summexp.runs.inherit import inherited
from summexp.runs.lock import check_is_unlocked, lock
from summexp.runs.resume import RunPlan, check_checkpoint, plan_run, resume_problem


def check(command: CommandLine, *, locks: bool = False) -> list[CheckedJob]:
    """Compose and check each job of a command line, without changing anything.

    A command that only shows the config (`--cfg job`) is checked against the schema only, not for
    existing files or GPUs.

    Args:
        command: the command line.
        locks: whether to acquire the lock of an existing run folder, so that its plan stays valid.

    Raises:
        ConfigError: some job is invalid; has all problems of all jobs.
    """
    with choice_tree(command.config_dir, command.config_name, command.overrides) as tree:
        words = check_overrides(command.overrides, tree.loader, multirun=command.multirun)
        problems = [*command.problems, *tree.problems, *words.problems]
        invalid_keys = {problem.key for problem in problems if problem.key}
        jobs = []
        # The jobs of a sweep share the files.
        files = Inspections()
        for overrides in words.jobs:
            job = _check_job(tree, overrides, invalid_keys, command, files, locks=locks)
            if isinstance(job, CheckedJob):
                jobs.append(job)
            else:
                problems += (problem for problem in job if problem not in problems)
        if command.multirun and not problems:
            problems += _sweep_folder_problems(tree, jobs, command.overrides)
    if problems:
        raise ConfigError(map(_with_advice, problems))
    return jobs


def _with_advice(problem: Problem) -> Problem:
    return problem if problem.hint else replace(problem, hint=default_advice(problem.key))


def lock_folder(job: CheckedJob, *, in_sweep: bool) -> CheckedJob:
    """Acquire the lock of `output_dir`, if set, and plan the run there.

    Args:
        job: the first job.
        in_sweep: whether the folder is that of a sweep, which has no plan.

    Returns:
        The job with its plan and with the lock, which is held as long as it is referenced.

    Raises:
        ConfigError: another live run holds the lock; or the folder holds another run (checked here
            for ranks and nodes).
    """
    if job.config.output_dir is None or job.lock is not None:
        return job
    folder = Path(job.config.output_dir)
    held = lock(folder)
    return replace(job, lock=held, plan=None if in_sweep else plan_run(job.config, folder))


def _check_job(
    tree: ChoiceTree,
    overrides: list[str],
    invalid_keys: set[str],
    command: CommandLine,
    files: Inspections,
    *,
    locks: bool,
) -> CheckedJob | list[Problem]:
    """Compose and check one job; return it, or its problems.

    Args:
        tree: the choices.
        overrides: the overrides of the job.
        invalid_keys: keys of invalid overrides, which were removed from the job.
        command: the command line.
        files: takes the inspected data files.
        locks: whether to acquire the lock of an existing run folder.
    """
    try:
        composed, problems = tree.compose(overrides)
    except ConfigError as error:
        return error.problems
    invalid_keys = invalid_keys | {problem.key for problem in problems if problem.key}
    from_folder = None
    if not command.multirun:
        # A job of a sweep has its own folder and inherits nothing.
        try:
            from_folder = inherited(tree, composed, overrides)
        except ConfigError as error:
            return [*problems, *error.problems]
    if from_folder is not None:
        from_folder.apply(composed)
    reading = read_tree(composed)
    found = list(reading.problems)
    planned = _Planned()
    if command.starts_a_run:
        found += check_slurm(composed.hydra.launcher, in_sweep=command.multirun)
        elsewhere = command.multirun and is_elsewhere(composed.hydra)
        if reading.config is not None:
            planned = _plan(reading.config, in_sweep=command.multirun, locks=locks)
        resumed = planned.plan if planned.plan and planned.plan.resumes else None
        found += _world_problems(
            reading, resumed, files, in_sweep=command.multirun, elsewhere=elsewhere
        )
        found += planned.problems
    if found:
        last = from_folder.file if from_folder is not None else None
        located = tree.locate(found, overrides, last)
        problems += (one for one in located if not _is_consequence(one, invalid_keys))
    # A missing config implies problems, here or on the command line.
    if problems or invalid_keys or reading.config is None:
        return problems
    return CheckedJob(
        overrides=overrides,
        config=reading.config,
        tree=composed,
        loader=tree.loader,
        inherited=from_folder,
        # Without the lock, the folder could change until the run starts.
        plan=planned.plan if planned.lock is not None else None,
        lock=planned.lock,
        files=files,
    )


def _sweep_folder_problems(
    tree: ChoiceTree, jobs: list[CheckedJob], words: list[str]
) -> Iterator[Problem]:
    """Yield the problem of an `output_dir`, the sweep folder, that depends on the job.

    Hydra (1.3) resolves it once, with the values outside of the sweep: `s${seed}` would be `s42`
    for all jobs.
    """
    raw: Any = OmegaConf.to_container(jobs[0].tree, resolve=False)
    if "${" not in str(raw["output_dir"]):
        return
    named = [str(job.config.output_dir) for job in jobs]
    common, _ = tree.compose([word for word in words if word in jobs[0].overrides])
    if {*named} == {str(common.output_dir)}:
        return
    shown = ", ".join(named[:2]) + (", …" if len(named) > 2 else "")
    outer = str(raw["output_dir"]).partition("${")[0].rpartition("/")[0] or "sweep"
    yield Problem(
        key="output_dir",
        what=f"is the folder of the sweep, and differs between its jobs: {shown}",
        hint="The jobs are written to 0/, 1/, … below it; set "
        f"{shlex.quote(f'output_dir={outer}')}",
    )


def _is_consequence(problem: Problem, invalid_keys: set[str]) -> bool:
    """Return whether a problem of a default value may be caused by an invalid key."""
    if not problem.key or problem.where:
        return False
    section, _, name = problem.key.partition(".")
    return any(section == key.split(".")[0] or name == key for key in invalid_keys)


def _world_problems(
    reading: Reading,
    plan: RunPlan | None,
    files: Inspections,
    *,
    in_sweep: bool,
    elsewhere: bool,
) -> Iterator[Problem]:
    """Yield the problems of files and this machine.

    Args:
        reading: the config, as far as it is valid.
        plan: the remaining phases of an existing run; None for a new one.
        files: takes the inspected data files.
        in_sweep: whether it is a job of a sweep.
        elsewhere: whether the sweep runs it on another machine.
    """
    sections, config = reading.sections, reading.config
    if {"data", "training", "debug"} <= sections.keys():
        offline = config is not None and config.offline
        yield from _data_problems(sections, plan, files, offline=offline)
    if {"hardware", "training"} <= sections.keys():
        group = (sections["hardware"], sections["training"])
        yield from check_launch(*group, in_sweep=in_sweep)
        if not elsewhere:
            yield from check_hardware(*group, in_sweep=in_sweep)
    if {"peft", "training"} <= sections.keys() and (plan is None or plan.train):
        resume_from = sections["training"].resume_from_checkpoint
        yield from check_checkpoint(resume_from)
        yield from check_adapter(sections["peft"], resume_from=resume_from)
        if sections["training"].do_train:
            yield from check_optimizer(sections["training"])
    if config is None:
        return
    yield from kind_problems(config, decoder_only=is_decoder_only_folder(config.model))
    yield from metric_problems(config)
    # The model may be the one in the run folder.
    trains = plan is None or plan.train
    is_here = not trains and Path(config.output_dir or "", "config.json").is_file()
    if not config.debug.tiny and not is_here:
        found = [*check_model(config.model, offline=config.offline)]
        yield from found or folder_problems(config.model, config.generation)


def metric_problems(config: Config) -> Iterator[Problem]:
    """Yield what the metrics of a config lack on this machine."""
    if config.metric.sentences == "punkt":
        yield from _punkt_problems()
    for metric in chosen_metrics(config.metric.names):
        options = (config.metric, config.data.language)
        yield from metric.check_requirements(
            *options, offline=config.offline, tiny=config.debug.tiny
        )


class _Planned(NamedTuple):
    """The state of the run folder of a job."""

    plan: RunPlan | None = None
    """Remaining phases; None where another rank plans."""
    lock: FileLock | None = None
    """Lock of the folder, if it was acquired."""
    problems: Sequence[Problem] = ()
    """Problems of the folder."""


def _plan(config: Config, *, in_sweep: bool, locks: bool) -> _Planned:
    """Plan the run of a job; in an existing run folder under its lock, if `locks`."""
    # Whoever follows would look while the run is being begun; of several, `lock_folder` looks.
    alone = outside_world() is None and config.hardware.nodes == 1
    other = [] if (problem := resume_problem(config)) is None else [problem]
    folder = _folder_to_be(config, in_sweep=in_sweep)
    held = None
    try:
        if alone:
            check_is_writable(folder)
            check_is_unlocked(folder)
        if config.output_dir is None or in_sweep:
            return _Planned(problems=other)
        # No lock file is written to a folder that has no run.
        if alone and locks and read_record(folder) is not None:
            held = lock(folder)
        plan = plan_run(config, folder)
    except ConfigError as error:
        return _Planned(problems=error.problems if alone else other)
    return _Planned(plan, held, [] if alone else other)


def _data_problems(
    sections: dict[str, Any], plan: RunPlan | None, files: Inspections, *, offline: bool
) -> list[Problem]:
    """Return the problems of the data of the remaining phases."""
    training, debug = sections["training"], sections["debug"]
    trains, evaluates, predicts = training.do_train, training.do_eval, training.do_predict
    if plan is not None:
        trains, predicts = plan.train, plan.predict
        evaluates = plan.evaluate or (plan.train and evaluates)
    return check_data(
        sections["data"],
        # debug=overfit evaluates the training rows.
        do_train=trains or (debug.overfit and (plan is None or evaluates)),
        do_eval=evaluates and not debug.overfit,
        do_predict=predicts,
        debug_tiny=debug.tiny,
        offline=offline,
        files=files,
    )


def _folder_to_be(config: Config, *, in_sweep: bool) -> Path:
    """Return the folder to which a run, or all jobs of a sweep, will write."""
    return Path(config.output_dir or FRESH_FOLDERS["sweep_dir" if in_sweep else "run_dir"])


def _punkt_problems() -> Iterator[Problem]:
    # Imports nltk, which only metric.sentences=punkt needs.
    from summexp.metrics.sentences import load_punkt

    try:
        load_punkt()
    except ConfigError as error:
        yield from error.problems
