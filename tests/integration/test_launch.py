"""`train.py` starts its own ranks, and no rank is left behind whatever happens."""

from __future__ import annotations

import ctypes
import functools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil
import pytest
from tests import forked
from tests.terminal import heed_signals

from summexp.check import check
from summexp.command_line import parse
from summexp.launch.run import lead

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
MARK = "SUMMEXP_TEST_MARK"

SMALL = (
    "hardware=ddp2_cpu",
    "model.architecture.d_model=32",
    "model.architecture.d_ff=64",
    "data.max_train_samples=64",
    "data.max_eval_samples=5",
    "generation.max_new_tokens=4",
    "training.per_device_train_batch_size=4",
    "training.num_train_epochs=1000",
    "training.max_steps=-1",
    "training.logging_steps=1",
    "training.eval_strategy=no",
    "training.save_strategy=no",
)
"""A training that goes on until it is ended."""

FAULTY = """
import os, sys, threading, time

def wait():
    while "summexp.engines.training_guard" not in sys.modules:
        time.sleep(0.01)
    watch = sys.modules["summexp.engines.training_guard"]
    while not hasattr(watch, "TrainingGuard"):
        time.sleep(0.01)
    original = watch.TrainingGuard.ends_after
    def ends_after(self, step):
        ends = original(self, step)
        if step == 3:
            raise ValueError("a fault of the test")
        return ends
    watch.TrainingGuard.ends_after = ends_after

if os.environ.get("RANK") == "1":
    threading.Thread(target=wait, daemon=True).start()
"""
"""Python runs this at its start: rank 1 fails after its third step."""
FAULTS: dict[str, Callable[[], object]] = {
    "exit": functools.partial(os._exit, 7),
    "segv": functools.partial(ctypes.string_at, 0),
    "memory": functools.partial(signal.raise_signal, signal.SIGKILL),
}
"""Other ways to fail."""


def fail_on_rank_1(kind: str) -> None:
    """Let rank 1 fail after its third step, if this is it or launches it."""
    from summexp.engines.training_guard import TrainingGuard

    original = TrainingGuard.ends_after

    def ends_after(self: TrainingGuard, step: int) -> bool:
        ends = original(self, step)
        if step == 3 and os.environ["RANK"] == "1":
            FAULTS[kind]()
        return ends

    TrainingGuard.ends_after = ends_after  # type: ignore[method-assign]


class Run(ABC):
    """A run of `train.py` in a process of its own, and all that it starts."""

    log: Path
    pid: int

    @abstractmethod
    def code(self, seconds: float = 0) -> int | None:
        """Wait for the end of the process; return its exit code, or None if it runs on."""

    @abstractmethod
    def owns(self, process: psutil.Process) -> bool:
        """Whether a process is of this run."""

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Wait until the output holds `text`."""
        until = time.monotonic() + seconds
        while text not in self.output():
            assert self.code() is None, self.output()
            assert time.monotonic() < until, self.output()
            time.sleep(0.05)

    def wait_for_steps(self) -> None:
        """Wait until the training is under way."""
        self.wait_for("train: step")
        time.sleep(0.5)
        assert self.code() is None, self.output()

    def output(self) -> str:
        return self.log.read_text("utf-8", "replace") if self.log.exists() else ""

    def send(self, signum: int) -> None:
        os.kill(self.pid, signum)

    def end(self, seconds: float) -> int | None:
        """Wait for the end, and require that nothing is left."""
        code = self.code(seconds)
        until = time.monotonic() + 5
        while self.left() and time.monotonic() < until:
            time.sleep(0.05)
        assert self.left() == []
        return code

    def left(self) -> list[psutil.Process]:
        """Return the processes of the run that live."""
        found = []
        for process in psutil.process_iter():
            with suppress(OSError, psutil.NoSuchProcess, psutil.AccessDenied):
                if self.owns(process) and process.status() != "zombie":
                    found.append(process)
        return found

    def kill(self) -> None:
        for process in self.left():
            process.kill()
        self.code(60)


class Started(Run):
    """A run of the interpreter, whose ranks are too."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.log = folder / f"{time.monotonic_ns()}.log"
        self._mark = self.log.name
        self._process = subprocess.Popen(
            [sys.executable, str(TRAIN), *words],
            cwd=folder,
            env=os.environ | {MARK: self._mark, "PYTHONPATH": str(folder)},
            stdout=self.log.open("wb"),
            stderr=subprocess.STDOUT,
            preexec_fn=heed_signals,
        )
        self.pid = self._process.pid

    def code(self, seconds: float = 0) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            return self._process.wait(seconds)
        return None

    def owns(self, process: psutil.Process) -> bool:
        return process.environ().get(MARK) == self._mark


class Forked(Run):
    """A run that is forked from the server of the tests, and forks its ranks."""

    def __init__(
        self,
        folder: Path,
        *words: str,
        before: Callable[[], None] | None = None,
        **environment: str,
    ) -> None:
        self._name = f"{time.monotonic_ns()}"[-15:]
        self.log = folder / f"{self._name}.log"
        self._process = forked.start(
            *words,
            log=self.log,
            cwd=folder,
            environment=environment,
            before=functools.partial(begin, self._name, before),
        )
        self.pid = self._process.pid or 0

    def code(self, seconds: float = 0) -> int | None:
        self._process.join(seconds)
        return self._process.exitcode

    def owns(self, process: psutil.Process) -> bool:
        return Path(f"/proc/{process.pid}/comm").read_text().strip() == self._name


def begin(name: str, before: Callable[[], None] | None) -> None:
    """Give this process a name, which those have that it forks."""
    Path("/proc/self/comm").write_text(name)
    if before is not None:
        before()


@pytest.fixture
def runs(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Start runs in the folder of the test, which end with it at the latest."""
    started: list[Run] = []

    def run(*words: str, kind: Callable[..., Run] = Forked, **options: Any) -> Run:
        started.append(kind(tmp_path, *words, **options))
        return started[-1]

    yield run
    for one in started:
        one.kill()


HYDRA = """
import atexit, os, sys

def write():
    from hydra.core.hydra_config import HydraConfig
    hydra = HydraConfig.get()
    path = os.path.join(hydra.runtime.output_dir, "hydra-" + os.environ["RANK"])
    with open(path, "w") as file:
        print(hydra.job.num, repr(hydra.mode), *hydra.overrides.task, file=file)

if "RANK" in os.environ:
    os_exit = os._exit
    os._exit = lambda code: (write(), os_exit(code))
"""
"""Each rank writes down at its end what Hydra says of its job."""


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text(encoding="utf-8")))


def assert_failed(folder: Path, run: Run, expected: str, reason: str) -> str:
    """The run failed, and says why everywhere; return its log."""
    assert run.end(120) == 1
    assert expected in run.output()
    assert record(folder)["status"] == "failed"
    assert record(folder)["reason"].startswith(reason)
    assert (folder / "report.html").is_file()
    # What went wrong is in the log too.
    log = (folder / "train.log").read_text(encoding="utf-8")
    assert expected in log
    return log


def test_a_rank_that_fails_ends_the_run(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(FAULTY)
    run = runs(*SMALL, "output_dir=run", kind=Started)
    fault = "ValueError: a fault of the test"
    assert_failed(tmp_path / "run", run, fault, "rank 1 failed: ValueError: ")
    assert "Traceback" in run.output()


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "kind", "expected", "reason"),
    [
        ("accelerate", "exit", *["rank 1 ended with exit code 7"] * 2),
        ("trainer", "segv", *["rank 1 was killed by SIGSEGV"] * 2),
        ("accelerate", "memory", "possibly out of memory", "rank 1 was killed by SIGKILL"),
    ],
)
def test_a_rank_that_is_gone_ends_the_run(
    engine: str, kind: str, expected: str, reason: str, runs: Any, tmp_path: Path
) -> None:
    before = functools.partial(fail_on_rank_1, kind)
    run = runs(*SMALL, f"engine={engine}", "output_dir=run", before=before)
    log = assert_failed(tmp_path / "run", run, expected, reason)
    # A crash in compiled code says where it was.
    assert ('worker.py", line' in log) is (kind == "segv")
    assert "Traceback" not in run.output()


@pytest.mark.slow
def test_sigterm_saves_a_checkpoint_from_which_the_run_resumes(runs: Any, tmp_path: Path) -> None:
    words = (*SMALL, "output_dir=run")
    run = runs(*words)
    run.wait_for_steps()
    run.send(signal.SIGTERM)
    assert run.end(60) == 128 + signal.SIGTERM
    assert (record(tmp_path / "run")["status"], record(tmp_path / "run")["reason"]) == (
        "interrupted",
        "SIGTERM",
    )
    (checkpoint,) = (tmp_path / "run").glob("checkpoint-*")
    step = int(checkpoint.name.partition("-")[2])
    assert step > 0
    assert (checkpoint / "manifest.json").is_file()
    again = runs(*words, f"training.max_steps={step + 2}")
    assert again.end(120) == 0
    assert re.search(rf"resuming from .*run/checkpoint-{step}$", again.output(), re.MULTILINE)
    history = json.loads((tmp_path / "run" / "trainer_state.json").read_text())["log_history"]
    steps = [entry["step"] for entry in history if "loss" in entry]
    assert steps == list(range(1, step + 3))


@pytest.mark.slow
def test_a_signal_to_one_rank_stops_all_of_them(runs: Any, tmp_path: Path) -> None:
    run = runs(*SMALL, "output_dir=run")
    run.wait_for_steps()
    # The leader, and rank 0 and rank 1, in the order in which they were started.
    rank = max(run.left(), key=lambda one: one.create_time())
    rank.terminate()
    assert run.end(60) == 128 + signal.SIGTERM
    assert record(tmp_path / "run")["status"] == "interrupted"
    assert len(list((tmp_path / "run").glob("checkpoint-*/manifest.json"))) == 1


@pytest.mark.slow
def test_ranks_that_take_too_long_to_save_are_reported(runs: Any) -> None:
    run = runs(*SMALL, "output_dir=run", "hardware.grace_seconds=0")
    run.wait_for_steps()
    run.send(signal.SIGTERM)
    assert run.end(20) == 128 + signal.SIGTERM
    assert "saved no checkpoint within 0 s (hardware.grace_seconds)" in run.output()


@pytest.mark.slow
def test_no_rank_outlives_a_killed_parent(runs: Any) -> None:
    run = runs(*SMALL, "output_dir=run", "training.dataloader_num_workers=1")
    run.wait_for_steps()
    # The parent, two ranks, and a loader of rows for each, which is another in each epoch.
    until = time.monotonic() + 60
    while len(run.left()) < 5:
        assert time.monotonic() < until
    run.send(signal.SIGKILL)
    assert run.end(10) == -signal.SIGKILL


@pytest.mark.slow
def test_a_sweep_of_runs_with_ranks_beside_another_run(runs: Any, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(HYDRA)
    words = (*SMALL, "training.max_steps=2", "training.eval_strategy=epoch")
    sweep = runs("-m", *words, "seed=1,2", "output_dir=sweep", kind=Started)
    beside = runs(*words, "output_dir=beside", "training.do_predict=true")
    assert sweep.end(240) == 0
    assert beside.end(120) == 0
    for folder in (tmp_path / "sweep" / "0", tmp_path / "sweep" / "1", tmp_path / "beside"):
        assert (record(folder)["status"], record(folder)["world_size"]) == ("finished", 2)
        assert len(record(folder)["devices"]) == 2
        log = (folder / "train.log").read_text(encoding="utf-8")
        assert log.count("starting 2 processes") == 1
        # Said by one rank, once.
        assert len(re.findall(r"^.*model: T5", log, re.MULTILINE)) == 1
    for job in "01":
        for rank in "01":
            expected = (tmp_path / "sweep" / job / f"hydra-{rank}").read_text(encoding="utf-8")
            assert expected.startswith(f"{job} <RunMode.MULTIRUN: 2> hardware=ddp2_cpu")
            assert f"seed={int(job) + 1}" in expected
    results = [tmp_path / "sweep" / name / "all_results.json" for name in "01"]
    assert results[0].read_text(encoding="utf-8") != results[1].read_text(encoding="utf-8")


@pytest.mark.slow
def test_the_objective_of_a_job_whose_ranks_computed_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    # As most users have it: the ranks share the cores, and Accelerate has nothing to warn of.
    monkeypatch.delenv("OMP_NUM_THREADS")
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    words = (*SMALL, "training.max_steps=2", "training.eval_strategy=epoch", "objective=eval_loss")
    (job,) = check(parse([*words, f"output_dir={tmp_path / 'run'}"]))
    value = lead(job.config)
    assert value is not None
    assert value == json.loads((tmp_path / "run" / "eval_results.json").read_text())["eval_loss"]
    assert "OMP_NUM_THREADS" not in "".join(capfd.readouterr())
    threads = max(1, len(os.sched_getaffinity(0)) // 2)
    expected = f"cpu ({threads} thread{'s' if threads > 1 else ''})"
    assert record(tmp_path / "run")["devices"] == [expected] * 2


@pytest.mark.slow
def test_two_nodes_that_were_started_by_hand_are_one_run(runs: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    words = (*SMALL, "hardware.nodes=2", "hardware.processes=1", "output_dir=run")
    words = (*words, "training.max_steps=2", "training.eval_strategy=epoch")
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    first = runs(*words, **rendezvous, NODE_RANK="0")
    second = runs(*words, **rendezvous, NODE_RANK="1")
    assert (first.end(120), second.end(30)) == (0, 0)
    assert "1 process on each of 2 nodes; this is node 0" in first.output()
    assert second.output() == ""
    assert record(tmp_path / "run")["world_size"] == 2
    log = (tmp_path / "run" / "train.log").read_text(encoding="utf-8")
    assert log.count("run folder:") == 1
    # Nothing is left to do: the first node aborts the other.
    first = runs(*words, **rendezvous, NODE_RANK="0")
    second = runs(*words, **rendezvous, NODE_RANK="1")
    assert (first.end(60), second.end(30)) == (0, 0)
    assert "already finished, nothing to do: " in first.output()
    # Or that the folder holds another run.
    first = runs(*words, "seed=7", **rendezvous, NODE_RANK="0")
    second = runs(*words, "seed=7", **rendezvous, NODE_RANK="1")
    assert (first.end(60), second.end(30)) == (2, 2)
    assert "seed: was 42" in first.output()


@pytest.mark.slow
def test_a_node_that_fails_ends_the_others(runs: Any, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    words = (*SMALL, "hardware.nodes=2", "hardware.processes=1", "output_dir=run")
    rendezvous = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    first = runs(*words, **rendezvous, NODE_RANK="0")
    fault = functools.partial(fail_on_rank_1, "memory")
    second = runs(*words, **rendezvous, NODE_RANK="1", before=fault)
    assert second.end(120) == 1
    assert first.end(10) == 1
    assert "rank 1 was killed by SIGKILL" in second.output()
    assert record(tmp_path / "run")["status"] == "failed"
