"""A run that is killed at any moment, and started again, ends as one that never was."""

from __future__ import annotations

import json
import re
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
    """The run that was never stopped, and its seconds once the caches are warm."""
    assert forked.run(*SMALL, "output_dir=warm", log=place / "warm.log", cwd=place)[0] == 0
    started = time.monotonic()
    code, output = forked.run(*SMALL, "output_dir=whole", log=place / "whole.log", cwd=place)
    assert code == 0, output
    return place / "whole", time.monotonic() - started


def weights_equal(one: Path, other: Path) -> bool:
    first, second = load_file(one / "model.safetensors"), load_file(other / "model.safetensors")
    return first.keys() == second.keys() and all(first[k].equal(second[k]) for k in first)


@pytest.mark.parametrize("moment", [i / 12 for i in range(1, 12)])
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


@pytest.mark.parametrize("step", [5, 15, 30])
def test_killed_after_a_checkpoint_goes_on_from_one(
    step: int, place: Path, unbroken: tuple[Path, float]
) -> None:
    # Training anew from the same seed would end with the same weights, and prove nothing.
    whole, _ = unbroken
    folder = place / f"after-{step}"
    words = (*SMALL, f"output_dir={folder}", "training.save_total_limit=null")
    process = forked.start(*words, log=place / f"{folder.name}.log", cwd=place)
    deadline = time.monotonic() + 120
    while not (folder / f"checkpoint-{step}" / "manifest.json").exists():
        assert time.monotonic() < deadline
        assert process.is_alive()
        time.sleep(0.005)
    process.kill()
    process.join()
    code, output = forked.run(*words, log=place / f"{folder.name}-again.log", cwd=place)
    assert code == 0, output
    gone_on = re.search(r"training goes on from .*checkpoint-(\d+)", output)
    assert gone_on, output
    assert int(gone_on[1]) >= step
    assert weights_equal(folder, whole), output
