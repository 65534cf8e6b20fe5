"""All that can be found wrong before torch is imported, a model is loaded or a process is started."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from summexp.command_line import CommandLine
from summexp.config.compose import ChoiceTree, choice_tree
from summexp.config.overrides import check_words
from summexp.config.schema import Config, schema_node
from summexp.config.typed import typed_config
from summexp.data.preflight import check_data
from summexp.errors import ConfigError, Problem
from summexp.launch.preflight import check_hardware
from summexp.runs.folder import lock
from summexp.runs.resume import plan_run


@dataclass(frozen=True)
class CheckedJob:
    """A job that nothing cheap speaks against."""

    overrides: list[str]
    """Its overrides, the sweep expanded."""
    config: Config
    """Its typed config."""


def check(command: CommandLine) -> list[CheckedJob]:
    """Compose and check each job of a command line, and change nothing.

    Raises:
        ConfigError: with every problem of every job.
    """
    with choice_tree(command.config_dir, command.config_name) as tree:
        words = check_words(
            command.overrides, tree.loader, schema_node(), multirun=command.multirun
        )
        jobs, problems = [], [*command.problems, *words.problems]
        wrong = {(problem.key or "").split(".")[0] for problem in problems}
        for overrides in words.jobs:
            try:
                config = _checked_config(tree, overrides, in_sweep=command.multirun)
            except ConfigError as error:
                located = tree.locate(error.problems, overrides)
                # A key that could not be set is missing: that is no second mistake.
                problems += [
                    problem
                    for problem in located
                    if problem not in problems
                    and ((problem.key or "").split(".")[0] not in wrong or problem.where)
                ]
            else:
                jobs.append(CheckedJob(overrides, config))
    if problems:
        raise ConfigError(problems)
    return jobs


def check_and_claim(command: CommandLine) -> list[CheckedJob]:
    """Check each job, then take the lock of the folder that the command line names.

    Raises:
        ConfigError: a problem, or another live run in that folder.
    """
    jobs = check(command)
    output_dir = jobs[0].config.output_dir
    if output_dir is not None:
        lock(Path(output_dir))
    return jobs


def _checked_config(tree: ChoiceTree, overrides: list[str], *, in_sweep: bool) -> Config:
    config = typed_config(tree.compose(overrides))
    problems = list(_problems(config, in_sweep=in_sweep))
    if problems:
        raise ConfigError(problems)
    return config


def _problems(config: Config, *, in_sweep: bool) -> Iterator[Problem]:
    training = config.training
    yield from check_data(
        config.data,
        do_train=training.do_train,
        do_eval=training.do_eval,
        do_predict=training.do_predict,
        debug_tiny=config.debug.tiny,
    )
    yield from check_hardware(config)
    yield from _check_phases(config)
    if config.output_dir is not None and not in_sweep:
        try:
            plan_run(config, Path(config.output_dir))
        except ConfigError as error:
            yield from error.problems


def _check_phases(config: Config) -> Iterator[Problem]:
    training = config.training
    if not (training.do_train or training.do_eval or training.do_predict):
        yield Problem(
            key="training.do_train",
            what="and do_eval and do_predict are all off, so there is nothing to do",
            hint="Set one of them to true.",
        )
    if config.data.streaming and training.do_train and training.max_steps <= 0:
        yield Problem(
            key="data.streaming",
            what="is on, so nobody knows how long an epoch is",
            hint="Say how long to train: training.max_steps=10000",
        )
    if config.engine.sampler == "length_grouped" and training.train_sampling_strategy != "random":
        yield Problem(
            key="training.train_sampling_strategy",
            what="has no effect on our own sampler",
            hint="Add engine.sampler=upstream, or leave it away.",
        )
    if training.load_best_model_at_end and not training.do_eval:
        yield Problem(
            key="training.load_best_model_at_end",
            what="needs evaluation, which is off",
            hint="Set training.do_eval=true.",
        )
