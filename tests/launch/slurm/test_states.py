"""What Slurm's commands print is read right, and a silent Slurm is no dead job."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest

from summexp.launch.slurm import states as module
from summexp.launch.slurm.states import GONE, SlurmState, states

ARRAY = """\
JobId=4 ArrayJobId=4 ArrayTaskId=2-3%2 JobName=summexp UserId=a(1) Requeue=1 Restarts=0 \
JobState=PENDING Reason=JobArrayTaskLimit Dependency=(null) ExitCode=0:0 NodeList= BatchHost=
JobId=6 ArrayJobId=4 ArrayTaskId=1 JobName=summexp UserId=a(1) Requeue=1 Restarts=2 \
JobState=RUNNING Reason=None Dependency=(null) ExitCode=0:0 ReqNodeList=(null) NodeList=n[1-2]
JobId=5 ArrayJobId=4 ArrayTaskId=0 JobName=summexp UserId=a(1) Requeue=1 Restarts=0 \
JobState=FAILED Reason=NonZeroExitCode Dependency=(null) ExitCode=137:0 NodeList=n1 BatchHost=n1
"""
SINGLE = (
    "JobId=9 JobName=summexp JobState=OUT_OF_MEMORY Reason=OutOfMemory ExitCode=0:125 NodeList=n2"
)


@pytest.fixture
def slurm(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each command of a Slurm answers: (exit code, standard output, standard error)."""
    answers: dict[str, Any] = {}

    def run(command: tuple[str, ...], **_options: Any) -> subprocess.CompletedProcess[str]:
        answer = answers.get(" ".join(command), answers.get(command[0]))
        if answer is None:
            raise FileNotFoundError(command[0])
        return subprocess.CompletedProcess(command, *answer)

    monkeypatch.setattr(module.subprocess, "run", run)
    return answers


def test_an_array_and_a_single_job(slurm: dict[str, Any]) -> None:
    slurm["scontrol -o show job 4"] = (0, ARRAY, "")
    slurm["scontrol -o show job 9"] = (0, SINGLE, "")
    found = states(["4_0", "4_1", "4_3", "9"])
    assert found == {
        "4_0": SlurmState(name="FAILED", why="NonZeroExitCode", exit_code="137:0", nodes="n1"),
        "4_1": SlurmState(name="RUNNING", nodes="n[1-2]", restarts=2),
        "4_3": SlurmState(name="PENDING", why="JobArrayTaskLimit"),
        "9": SlurmState(name="OUT_OF_MEMORY", why="OutOfMemory", exit_code="0:125", nodes="n2"),
    }
    assert [found[name].has_ended for name in ("4_0", "4_1", "4_3", "9")] == [
        True,
        False,
        False,
        True,
    ]
    assert (
        found["4_0"].describe() == "it ended without a result (Slurm: FAILED, exit code 137 on n1)"
    )
    assert found["9"].describe() == (
        "it exceeded its memory limit (hydra.launcher.mem_gb) "
        "(Slurm: OUT_OF_MEMORY, signal 125 on n2)"
    )


def test_a_forgotten_job_is_looked_up_in_the_accounting(slurm: dict[str, Any]) -> None:
    slurm["scontrol"] = (1, "", "slurm_load_jobs error: Invalid job id specified")
    slurm["sacct"] = (0, "4_0|CANCELLED by 1000|0:15|n1\n", "")
    found = states(["4_0", "4_1"])
    assert found == {
        "4_0": SlurmState(name="CANCELLED", exit_code="0:15", nodes="n1"),
        "4_1": GONE,
    }
    assert found["4_0"].was_stopped
    assert found["4_0"].describe() == "it was cancelled (Slurm: CANCELLED, signal 15 on n1)"


def test_a_forgotten_job_without_accounting_is_gone(slurm: dict[str, Any]) -> None:
    slurm["scontrol"] = (1, "", "slurm_load_jobs error: Invalid job id specified")
    slurm["sacct"] = (1, "", "Slurm accounting storage is disabled")
    assert states(["7"]) == {"7": GONE}
    assert GONE.describe() == "it left no result, and is unknown to Slurm"


def test_a_controller_that_does_not_answer_reports_nothing_of_a_job(slurm: dict[str, Any]) -> None:
    slurm["scontrol"] = (1, "", "slurm_load_jobs error: Unable to contact slurm controller")
    assert states(["7"]) == {}


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", [0]), ("2-4", [2, 3, 4]), ("0-8:4", [0, 4, 8]), ("1,4-5%2", [1, 4, 5]), ("", [])],
)
def test_indices(text: str, numbers: list[int]) -> None:
    assert list(module._indices(text)) == numbers
