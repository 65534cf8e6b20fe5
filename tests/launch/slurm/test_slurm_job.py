"""A task tells its outcome once, by a file and by its exit code."""

from __future__ import annotations

import logging
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.hydra_config import HydraConfig
from hydra.types import HydraContext, RunMode
from omegaconf import DictConfig, open_dict

from summexp.check import check
from summexp.command_line import parse
from summexp.config.compose import choice_tree
from summexp.errors import ConfigError
from summexp.launch.slurm.slurm_job import Outcome, SlurmJob, read_outcome
from summexp.runs.command import run_command


@pytest.fixture(autouse=True)
def as_before(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a job sets in its process is taken back."""
    monkeypatch.setattr(sys, "argv", sys.argv)
    handlers = {one: signal.getsignal(one) for one in (signal.SIGTERM, signal.SIGUSR2)}
    root = logging.getLogger()
    kept, level = list(root.handlers), root.level
    yield
    root.handlers[:], root.level = kept, level
    for one, handler in handlers.items():
        signal.signal(one, handler)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SLURM_JOB_ID", "31")
    monkeypatch.setenv("SLURM_ARRAY_JOB_ID", "30")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "1")
    return tmp_path


def job(folder: Path, task: Any, *overrides: str) -> SlurmJob:
    with choice_tree() as tree:
        composed, _ = tree.compose(["hydra/launcher=slurm", *overrides])
    with open_dict(composed.hydra):
        composed.hydra.job.num = 1
        composed.hydra.sweep.dir = str(folder)
    context = HydraContext(config_loader=None, callbacks=Callbacks())  # type: ignore[arg-type]
    argv = ["train.py", "-m", "seed=1,2"]
    return SlurmJob(
        tree=composed, context=context, task=task, task_name="train", argv=argv, folder=folder
    )


def test_a_job_records_its_own_command(folder: Path) -> None:
    words = ["seed=2", 'model.source_prefix="a \\${b} 요약: "', "tracking.run_name='본문 1'"]
    commands = []

    def task(_config: DictConfig) -> None:
        commands.append(run_command(folder / "1"))

    made = job(folder, task, *words, "output_dir=sweep")
    with open_dict(made.tree.hydra):
        made.tree.hydra.mode = RunMode.MULTIRUN
    made()
    assert commands == [["python", "train.py", *words, f"output_dir={folder}/1"]]
    config = check(parse([*commands[0][2:], "--cfg", "job"]))[0].config
    assert (config.seed, config.model.source_prefix) == (2, "a ${b} 요약: ")


def test_a_result(folder: Path) -> None:
    def task(_config: DictConfig) -> float:
        assert HydraConfig.get().runtime.output_dir == str(folder / "1")
        assert (HydraConfig.get().job.id, sys.argv[1]) == ("31", "-m")
        return 42.5

    job(folder, task)()
    assert read_outcome(folder, "30_1") == Outcome(exit_code=0, value=42.5)
    assert (folder / "1" / ".hydra" / "config.yaml").exists()
    assert read_outcome(folder, "30_0") is None


def test_a_failure_is_the_exit_code(folder: Path) -> None:
    def task(_config: DictConfig) -> float:
        raise ConfigError("no such column")

    with pytest.raises(SystemExit) as raised:
        job(folder, task)()
    assert raised.value.code == 2
    assert read_outcome(folder, "30_1") == Outcome(exit_code=2, reason="no such column")


def test_a_node_that_is_not_the_first_leaves_the_folder_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SLURM_NODEID", "2")
    job(folder, lambda _config: None)()
    assert not list((folder / "1").iterdir())
    assert read_outcome(folder, "30_1", node=2) == Outcome(exit_code=0)
    assert read_outcome(folder, "30_1") is None


def test_a_requeued_job_does_not_delete_its_checkpoint(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    word = "overwrite_output_dir=true"
    made = job(folder, lambda config: seen.append(config.overwrite_output_dir), word)
    made()
    monkeypatch.setenv("SLURM_RESTART_COUNT", "1")
    again = made.checkpoint().function
    again()
    assert seen == [True, False]


def test_signals_end_a_job_once(folder: Path) -> None:
    def task(_config: DictConfig) -> None:
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            # Slurm sends a second one while the first is being obeyed.
            signal.raise_signal(signal.SIGTERM)
            seen.append("written down")

    seen: list[str] = []
    with pytest.raises(SystemExit) as raised:
        job(folder, task)()
    assert raised.value.code == 128 + signal.SIGTERM
    assert seen == ["written down"]
    # Whether it is started again is for Slurm to know.
    assert read_outcome(folder, "30_1") is None
