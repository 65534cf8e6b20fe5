"""Signals that ask a process to stop, in processes of their own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable

import pytest
from tests.terminal import heed_signals

SAVES = """
import os, signal, sys, time
from summexp.distributed.signals import end_on_signals, stop_requests
end_on_signals()
with stop_requests(lambda: "saving checkpoint-7") as request:
    print("ready", flush=True)
    while not request.received:
        time.sleep(0.01)
    # What is saved takes as long as the test wants.
    sys.stdin.readline()
    print("saved", flush=True)
print("not reached", flush=True)
"""
WAITS = """
import time
from summexp.distributed.signals import end_on_signals
end_on_signals()
print("ready", flush=True)
time.sleep(600)
"""
ANNOUNCED = "saving checkpoint-7, Ctrl-C again to stop at once\n"


def start(
    code: str, before: Callable[[], object] = heed_signals, **environment: str
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=before,
        env=os.environ | environment,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


def announced(process: subprocess.Popen[str]) -> str:
    assert process.stderr is not None
    return process.stderr.readline()


SIGNALS = pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])


@SIGNALS
def test_ends_at_once_where_there_is_nothing_to_save(number: signal.Signals) -> None:
    process = start(WAITS)
    process.send_signal(number)
    assert process.communicate() == ("", "")
    assert process.returncode == 128 + number


@SIGNALS
def test_ends_after_what_is_saved(number: signal.Signals) -> None:
    process = start(SAVES)
    process.send_signal(number)
    assert announced(process) == ANNOUNCED
    assert process.communicate("\n") == ("saved\n", "")
    assert process.returncode == 128 + number


def test_a_second_one_does_not_wait() -> None:
    process = start(SAVES)
    process.send_signal(signal.SIGINT)
    assert announced(process) == ANNOUNCED
    process.send_signal(signal.SIGTERM)
    assert process.communicate() == ("", "")
    assert process.returncode == 128 + signal.SIGTERM


def test_a_terminal_that_is_closed_reports_it_twice() -> None:
    process = start(SAVES)
    process.send_signal(signal.SIGHUP)
    assert announced(process) == ANNOUNCED
    process.send_signal(signal.SIGHUP)
    assert process.communicate("\n") == ("saved\n", "")
    assert process.returncode == 128 + signal.SIGHUP


@pytest.mark.parametrize("code", [SAVES, WAITS])
def test_what_timeout_sends_twice_is_one_request(code: str) -> None:
    process = start(code)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate("\n")
    assert (output, errors) == (("saved\n", ANNOUNCED) if code == SAVES else ("", ""))
    assert process.returncode == 128 + signal.SIGTERM


@pytest.mark.parametrize("code", [SAVES, WAITS])
@SIGNALS
def test_what_was_ignored_stays_ignored(number: signal.Signals, code: str) -> None:
    other = signal.SIGTERM if number != signal.SIGTERM else signal.SIGINT

    def ignore() -> None:
        heed_signals()
        signal.signal(number, signal.SIG_IGN)

    process = start(code, ignore)
    process.send_signal(number)
    process.send_signal(other)
    process.communicate("\n")
    assert process.returncode == 128 + other


def test_a_rank_leaves_a_second_one_to_its_launcher() -> None:
    process = start(SAVES, RANK="0", LOCAL_RANK="0")
    process.send_signal(signal.SIGTERM)
    assert announced(process) == ANNOUNCED
    process.send_signal(signal.SIGTERM)
    assert process.communicate("\n") == ("saved\n", "")
    assert process.returncode == 128 + signal.SIGTERM


def test_one_rank_announces() -> None:
    process = start(SAVES, RANK="1", LOCAL_RANK="1", WORLD_SIZE="2")
    process.send_signal(signal.SIGTERM)
    assert process.communicate("\n") == ("saved\n", "")


FORKS = """
import multiprocessing, signal, time
from summexp.distributed.signals import end_on_signals, stop_requests

def work(pipe):
    pipe.send("at work")
    pipe.recv()
    pipe.send("done")

end_on_signals()
context = multiprocessing.get_context("fork")
with stop_requests() as request:
    mine, its = context.Pipe()
    child = context.Process(target=work, args=(its,))
    child.start()
    assert mine.recv() == "at work"
    print("ready", flush=True)
    while not request.received:
        time.sleep(0.01)
    mine.send(None)
    print(mine.recv(), flush=True)
    other = context.Process(target=time.sleep, args=(600,))
    other.start()
    other.terminate()
    other.join()
    print(other.exitcode == -signal.SIGTERM, flush=True)
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_the_workers_of_a_process_leave_a_terminals_signals_to_it(number: signal.Signals) -> None:
    """A loader of rows has to go on until the step is done."""

    def lead_a_group() -> None:
        heed_signals()
        os.setpgrp()

    process = start(FORKS, lead_a_group)
    os.killpg(process.pid, number)
    assert process.communicate() == ("done\nTrue\n", "")
    assert process.returncode == 128 + number


LOADS = FORKS.replace("def work(pipe):", "def work(pipe):\n    leave_sigterm_to_parent()").replace(
    "import end_on_signals,", "import end_on_signals, leave_sigterm_to_parent,"
)


@pytest.mark.skipif(not hasattr(signal, "sigwaitinfo"), reason="the system tells no sender")
def test_the_workers_of_a_data_loader_leave_sigterm_to_the_process() -> None:
    """`scancel` sends it to all of them; what the process itself sends ends them."""

    def lead_a_group() -> None:
        heed_signals()
        os.setpgrp()

    ends = "child.terminate()\nchild.join()\nprint(child.exitcode)\n"
    code = LOADS.replace('pipe.send("done")', 'pipe.send("done")\n    time.sleep(600)').replace(
        "    other = ", f"{textwrap.indent(ends, '    ')}    other = "
    )
    process = start(code, lead_a_group)
    os.killpg(process.pid, signal.SIGTERM)
    assert process.communicate() == ("done\n143\nTrue\n", "")
    assert process.returncode == 143
