"""Problems of a sweep on Slurm are reported before it is submitted."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from summexp.check import check
from summexp.command_line import parse
from summexp.errors import ConfigError
from summexp.launch.slurm import slurm_checks

SLURM = "hydra/launcher=slurm"


@pytest.fixture
def sbatch(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine with Slurm's commands."""
    monkeypatch.setattr(slurm_checks.shutil, "which", lambda name: f"/bin/{name}")
    monkeypatch.chdir(tmp_path)


def problems(line: str) -> list[tuple[str | None, str]]:
    with pytest.raises(ConfigError) as raised:
        check(parse(shlex.split(line)))
    return [(problem.key, problem.what) for problem in raised.value.problems]


@pytest.mark.usefixtures("sbatch")
def test_what_can_be_sent_is_taken() -> None:
    words = "hydra.launcher.partition=gpu hydra.launcher.additional_parameters.reservation=mine"
    (job,) = check(
        parse(shlex.split(f"-m hydra/launcher=slurm debug=tiny hardware.nodes=2 {words}"))
    )
    launcher = job.tree.hydra.launcher
    assert (launcher.nodes, launcher.partition) == (2, "gpu")
    assert launcher.additional_parameters == {"reservation": "mine"}


@pytest.mark.usefixtures("sbatch")
@pytest.mark.parametrize(
    ("line", "key", "what"),
    [
        (SLURM, "hydra/launcher", "submits the jobs of a sweep"),
        (f"-m {SLURM} hydra.launcher.partion=x", "hydra.launcher.partion", "no such key"),
        (f"-m {SLURM} hydra.launcher.max_requeues=-1", "hydra.launcher.max_requeues", "least 0"),
        (f"-m {SLURM} hydra.launcher.timeout_min=2", "hydra.launcher.signal_delay_s", "time limit"),
    ],
)
def test_mistakes(line: str, key: str, what: str) -> None:
    ((found_key, found_what),) = problems(f"{line} debug=tiny")
    assert found_key == key
    assert what in found_what


def test_a_machine_without_slurm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slurm_checks.shutil, "which", lambda _name: None)
    monkeypatch.setattr(slurm_checks.importlib.util, "find_spec", lambda _name: None)
    (missing, package) = problems(f"-m {SLURM} debug=tiny")
    assert missing == (
        "hydra/launcher",
        "there is no sbatch here: this machine belongs to no Slurm cluster",
    )
    assert package == ("hydra/launcher", "needs submitit, which is not installed")
