"""A run that is killed at any moment, and started again, ends as one that never was."""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file
from tests import forked

SMALL = (
    "model.architecture.d_model=32",
    "model.architecture.d_ff=64",
    "model.architecture.dropout_rate=0.1",
    "data.max_train_samples=90",
    "data.max_eval_samples=6",
    "generation.max_new_tokens=6",
    "training.per_device_train_batch_size=4",
    "training.gradient_accumulation_steps=2",
    "training.num_train_epochs=3",
    "training.max_steps=-1",
    "training.warmup_steps=5",
    "training.save_strategy=steps",
    "training.save_steps=5",
    "training.logging_steps=1",
    "hardware=cpu",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("resume")


@pytest.fixture(scope="module")
def unbroken(place: Path) -> tuple[Path, float]:
    """The run that was never stopped, and its seconds."""
    started = time.monotonic()
    code, output = forked.run(*SMALL, "output_dir=whole", log=place / "whole.log", cwd=place)
    assert code == 0, output
    return place / "whole", time.monotonic() - started


def weights_equal(one: Path, other: Path) -> bool:
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)


@pytest.mark.parametrize(
    "moment",
    # One of them in the suite that is run all the time.
    [pytest.param(i / 12, marks=() if i == 6 else pytest.mark.slow) for i in (1, 6, 11)],
)
def test_killed_and_started_again(moment: float, place: Path, unbroken: tuple[Path, float]) -> None:
    whole, seconds = unbroken
    folder = place / f"killed-{moment:.2f}"
    words = (*SMALL, f"output_dir={folder}")
    process = forked.start(*words, log=place / f"{folder.name}.log", cwd=place)
    process.join(moment * seconds)
    process.kill()
    process.join()
    code, output = forked.run(*words, log=place / f"{folder.name}-again.log", cwd=place)
    assert code == 0, output
    assert weights_equal(folder, whole), output
    same = ("eval_loss", "eval_rougeL")
    results = [json.loads((one / "all_results.json").read_text()) for one in (folder, whole)]
    assert [results[0][key] for key in same] == [results[1][key] for key in same]


@pytest.mark.parametrize(
    ("step", "first", "second"),
    [
        # Each engine after each, and each checkpoint.
        pytest.param(30, "trainer", "trainer", marks=pytest.mark.slow),
        (5, "accelerate", "accelerate"),
        pytest.param(15, "trainer", "accelerate", marks=pytest.mark.slow),
        pytest.param(30, "accelerate", "trainer", marks=pytest.mark.slow),
    ],
)
def test_killed_after_a_checkpoint_resumes_from_one(
    step: int, first: str, second: str, place: Path, unbroken: tuple[Path, float]
) -> None:
    # Training anew from the same seed would end with the same weights, and prove nothing.
    whole, _ = unbroken
    folder = place / f"after-{step}-{first}-{second}"
    words = (*SMALL, f"output_dir={folder}", "training.save_total_limit=null")
    process = forked.start(*words, f"engine={first}", log=place / f"{folder.name}.log", cwd=place)
    wait_for(folder / f"checkpoint-{step}" / "manifest.json", process)
    process.kill()
    process.join()
    code, output = forked.run(
        *words, f"engine={second}", log=place / f"{folder.name}-again.log", cwd=place
    )
    assert code == 0, output
    resumed = re.search(r"resuming from .*checkpoint-(\d+)", output)
    assert resumed, output
    assert int(resumed[1]) >= step
    assert weights_equal(folder, whole), output


@pytest.fixture(scope="module")
def unbroken_ranks(place: Path) -> Path:
    """Two ranks that were never stopped."""
    words = (*SMALL, "output_dir=ranks")
    assert forked.run_ranks(2, *words, log=place / "ranks.log", cwd=place) == [0, 0]
    return place / "ranks"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("engine", "how"), [("accelerate", signal.SIGTERM), ("trainer", signal.SIGKILL)]
)
def test_ranks_that_are_ended_resume(
    engine: str, how: signal.Signals, place: Path, unbroken_ranks: Path
) -> None:
    """Each with its own dropout, in the middle of an epoch; then as the Trainer's ranks end."""
    folder = place / f"ranks-{engine}-{how.name}"
    words = (*SMALL, f"engine={engine}", f"output_dir={folder}", "training.save_total_limit=null")
    ranks = forked.start_ranks(2, *words, log=place / f"{folder.name}.log", cwd=place)
    wait_for(folder / "checkpoint-5" / "manifest.json", ranks[0])
    # What one rank is asked, all are; and none resumes where one has died.
    assert ranks[1].pid is not None
    os.kill(ranks[1].pid, how)
    for rank in ranks:
        rank.join(300)
    stopped = how is signal.SIGTERM
    assert ranks[1].exitcode == (128 + how if stopped else -how)
    assert ranks[0].exitcode == (128 + how if stopped else 1)
    log = place / f"{folder.name}-again.log"
    assert forked.run_ranks(2, *words, log=log, cwd=place) == [0, 0]
    output = log.with_name(f"{log.name}.0").read_text()
    resumed = re.search(r"resuming from .*checkpoint-(\d+)", output)
    assert resumed, output
    assert int(resumed[1]) >= 5
    assert weights_equal(folder, unbroken_ranks), output


def wait_for(file: Path, process: multiprocessing.process.BaseProcess) -> None:
    """Wait until a run has written `file`."""
    deadline = time.monotonic() + 300
    while not file.exists():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.005)
