"""Sweeps on a real Slurm of two nodes, which this file starts and stops."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.slurm.cluster import NODES, Cluster, why_not

pytestmark = pytest.mark.slurm

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
ENDLESS = "training.max_steps=1000000"


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    if reason := why_not():
        pytest.skip(reason)
    made = Cluster()
    try:
        made.start()
        yield made
    finally:
        made.stop()


class Sweep:
    """`train.py -m hydra/launcher=slurm …` with output_dir=`folder`."""

    def __init__(self, cluster: Cluster, folder: Path, *words: str) -> None:
        self.folder = folder
        self._log = folder.with_suffix(".log")
        fixed = ("-m", "hydra/launcher=slurm", "debug=tiny", f"output_dir={folder}")
        environment = {**os.environ, **cluster.environment}
        with self._log.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, str(TRAIN), *fixed, *words],
                stdout=output,
                stderr=output,
                cwd=folder.parent,
                env=environment,
                # A shell starts what runs in the background with Ctrl-C ignored.
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
            )

    @property
    def output(self) -> str:
        return self._log.read_text(encoding="utf-8")

    def end(self, timeout: float = 240) -> int:
        """Wait for the end; return the exit code."""
        try:
            return self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(self.output) from None

    def record(self, number: int) -> dict[str, Any]:
        """The `run.json` of a job; empty as long as there is none."""
        path = self.folder / str(number) / "run.json"
        content: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.exists() else {}
        return content

    def trains(self, number: int) -> bool:
        """Whether a job has got as far as a model."""
        log = self.folder / str(number) / "train.log"
        return log.exists() and "model:" in log.read_text("utf-8")

    def wait(self, condition: Callable[[], Any], timeout: float = 120) -> None:
        until = time.monotonic() + timeout
        while not condition():
            assert self.process.poll() is None, self.output
            assert time.monotonic() < until, self.output
            time.sleep(0.1)


@pytest.fixture
def sweep_of(cluster: Cluster, tmp_path: Path) -> Iterator[Callable[..., Sweep]]:
    """Starts a sweep with the words that it is given, and leaves none behind."""
    started: list[Sweep] = []

    def start(*words: str) -> Sweep:
        started.append(Sweep(cluster, tmp_path / "sweep", *words))
        return started[-1]

    yield start
    for sweep in started:
        sweep.process.kill()
        sweep.process.wait()


def results(folder: Path) -> dict[str, float]:
    content: dict[str, float] = json.loads((folder / "all_results.json").read_text("utf-8"))
    return content


def process_of(array_index: int) -> int:
    """Number of the process that is the only task of a job."""
    marks = {b"SLURM_ARRAY_TASK_ID=%d" % array_index, b"SLURM_PROCID=0"}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0")
            environment = (entry / "environ").read_bytes().split(b"\0")
        except OSError:
            continue
        # Not srun, which has the same words in its command and, in a batch script, the same marks.
        is_task = b"python" in command[0] and b"submitit.core._submit" in command
        if is_task and marks <= set(environment):
            return int(entry.name)
    raise AssertionError("there is no such task")


def test_four_jobs(sweep_of: Callable[..., Sweep]) -> None:
    sweep = sweep_of("seed=1,2", "model=t5_tiny,bart_base")
    assert sweep.end() == 0, sweep.output
    for number in range(4):
        assert results(sweep.folder / str(number))["eval_loss"] > 0
        assert sweep.record(number)["status"] == "finished"
        assert "-m" not in sweep.record(number)["argv"]
        assert sweep.record(number)["argv"][-1].endswith(f"/{number}")
    types = [json.loads((sweep.folder / f"{i}" / "config.json").read_text()) for i in range(4)]
    assert [one["model_type"] for one in types] == ["t5", "bart", "t5", "bart"]
    for reported in ("submitted 4 jobs to Slurm", "finished job 3 (seed=2 model=bart_base)"):
        assert reported in sweep.output
    assert "Traceback" not in sweep.output


def test_two_nodes_with_two_processes_each(sweep_of: Callable[..., Sweep]) -> None:
    words = ("hardware=ddp2_cpu", "hardware.nodes=2")
    sweep = sweep_of(*words)
    assert sweep.end() == 0, sweep.output
    record = sweep.record(0)
    assert (record["status"], record["world_size"]) == ("finished", 4)
    assert f"is running on {','.join(NODES)}" in sweep.output
    # One run folder, written by the first node alone.
    assert (sweep.folder / "0" / "train.log").read_text("utf-8").count("run folder:") == 1
    assert results(sweep.folder / "0")["eval_samples"] == 8


@pytest.mark.parametrize(
    ("tasks", "words"),
    [
        (("--ntasks=4",), ("hardware=cpu",)),
        (("--ntasks-per-node=1",), ("hardware=ddp2_cpu", "hardware.nodes=2")),
    ],
)
def test_srun_starts_the_ranks_or_the_nodes(
    tasks: tuple[str, ...], words: tuple[str, ...], cluster: Cluster, tmp_path: Path
) -> None:
    train = (sys.executable, str(TRAIN), "debug=tiny", f"output_dir={tmp_path / 'run'}", *words)
    cluster.run("srun", "--nodes=2", *tasks, *train)
    record = json.loads((tmp_path / "run" / "run.json").read_text("utf-8"))
    assert (record["status"], record["world_size"]) == ("finished", 4)
    log = (tmp_path / "run" / "train.log").read_text("utf-8")
    assert log.count("run folder:") == log.count("model: T5") == 1
    assert ("starting 2 processes" in log) is ("hardware=ddp2_cpu" in words)
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_jobs_that_die_are_reported_and_the_others_continue(
    cluster: Cluster, sweep_of: Callable[..., Sweep]
) -> None:
    sweep = sweep_of(f"{ENDLESS},1000001,2")
    sweep.wait(lambda: sweep.trains(0) and sweep.trains(1))
    (array,) = {name.partition("_")[0] for name in cluster.jobs()}
    os.kill(process_of(0), signal.SIGKILL)
    cluster.run("scancel", f"{array}_1")
    struck = time.monotonic()
    assert sweep.end() == 1, sweep.output
    assert time.monotonic() - struck < 60
    reported = [line for line in sweep.output.splitlines() if " failed: " in line]
    assert "job 0 (training.max_steps=1000000) failed" in reported[0] + reported[1]
    assert f"Slurm job {array}_0: it ended without a result (Slurm: FAILED" in sweep.output
    assert "job 1 (training.max_steps=1000001) failed" in reported[0] + reported[1]
    assert f"Slurm job {array}_1: it was cancelled (Slurm: CANCELLED" in sweep.output
    assert "2 of 3 jobs failed" in sweep.output
    assert "Traceback" not in sweep.output
    assert sweep.record(0)["status"] == "failed"
    assert "FAILED" in sweep.record(0)["reason"]
    assert sweep.record(1)["status"] == "interrupted"
    assert sweep.record(2)["status"] == "finished"
    assert results(sweep.folder / "2")["eval_loss"] > 0


def test_a_job_out_of_time_resumes_and_ctrl_c_takes_it_back(
    cluster: Cluster, sweep_of: Callable[..., Sweep]
) -> None:
    unsaved = ("training.save_strategy=no", "training.eval_strategy=no")
    words = (ENDLESS, *unsaved, "overwrite_output_dir=true", "hardware=ddp2_cpu")
    sweep = sweep_of(*words)
    folder = sweep.folder / "0"
    sweep.wait(lambda: sweep.trains(0))
    time.sleep(3)
    (name,) = cluster.jobs()
    # What Slurm sends when the time of a job is nearly over.
    cluster.run("scancel", "--signal=USR2", name)
    sweep.wait(lambda: sweep.record(0).get("resumed_from") == "interrupted")
    (saved,) = folder.glob("checkpoint-*")
    first = int(saved.name.partition("-")[2])
    assert first > 0
    log = folder / "train.log"
    sweep.wait(lambda: log.read_text("utf-8").count("model:") == 2)
    assert "Slurm requeued job" in sweep.output
    time.sleep(3)
    sweep.process.send_signal(signal.SIGINT)
    assert sweep.end(60) == 128 + signal.SIGINT, sweep.output
    assert not cluster.jobs()
    assert sweep.record(0)["status"] == "interrupted"
    steps = [int(path.name.partition("-")[2]) for path in folder.glob("checkpoint-*")]
    assert max(steps) > first


def test_what_slurm_rejects_is_reported(sweep_of: Callable[..., Sweep]) -> None:
    sweep = sweep_of("hydra.launcher.partition=nowhere", "seed=1,2")
    assert sweep.end() == 2, sweep.output
    assert "hydra.launcher: sbatch rejected the job: " in sweep.output
    assert "invalid partition" in sweep.output
    assert "Traceback" not in sweep.output
