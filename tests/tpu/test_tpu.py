"""`hardware=tpu8` on eight virtual devices of the CPU, from the command line.

What a TPU itself would have to show is in docs/how-to/tpu.md.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.tpu, pytest.mark.timeout(1200)]

ROOT = Path(__file__).parents[2]
DEVICES = 8
STEPS, EVAL_STEPS = 12, 4
WEIGHTS = 40
"""At least as many weight matrices and vectors has the model, each with a gradient to sum."""
COMMON = (
    "debug=tiny",
    "model=t5_tiny",
    "data=news_briefs",
    # seven global batches an epoch, so that the second epoch is begun
    "data.max_train_samples=120",
    # 13 rows do not divide by 8
    "data.max_eval_samples=13",
    "generation.num_beams=2",
    "training.logging_steps=1",
    "training.eval_strategy=steps",
    f"training.eval_steps={EVAL_STEPS}",
    "training.save_strategy=steps",
    f"training.save_steps={EVAL_STEPS}",
    "training.learning_rate=0.01",
    "training.lr_scheduler_type=constant",
)
ON_CORES = (
    "hardware=tpu8",
    f"hardware.virtual_devices={DEVICES}",
    "training.per_device_train_batch_size=2",
    "training.per_device_eval_batch_size=1",
)
ON_CPU = (
    "hardware=cpu",
    "data.pad_to_max_length=true",
    "training.dataloader_drop_last=true",
    "training.optim=adamw_torch",
    f"training.per_device_train_batch_size={2 * DEVICES}",
    f"training.per_device_eval_batch_size={DEVICES}",
)


def started(
    command: list[str], cwd: Path, environment: Mapping[str, str] | None = None
) -> tuple[int, str]:
    """Return exit code and output."""
    done = subprocess.run(
        command,
        cwd=cwd,
        env={**os.environ, **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def train(*words: str, cwd: Path, python: str = sys.executable, hlo: Path | None = None) -> str:
    """Run `train.py`, and return its output; the compiled programs go to `hlo`."""
    flags = f"--xla_dump_to={hlo} --xla_dump_hlo_as_text" if hlo else ""
    code, output = started([python, str(ROOT / "train.py"), *words], cwd, {"XLA_FLAGS": flags})
    assert code == 0, output
    return output


def history(folder: Path, name: str) -> dict[int, float]:
    """Return a logged value by step."""
    state = json.loads((folder / "trainer_state.json").read_text())
    return {one["step"]: one[name] for one in state["log_history"] if name in one}


def predictions(folder: Path) -> list[dict[str, Any]]:
    """Return the predicted rows in the order of the file."""
    lines = (folder / "generated_predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def programs(hlo: Path) -> list[str]:
    """Return the compiled programs as text."""
    return [file.read_text() for file in hlo.glob("*cpu_after_optimizations.txt")]


def all_reduces(program: str) -> list[str]:
    """Return the devices of each all-reduce, as the program has them."""
    return re.findall(r" all-reduce\(.*replica_groups=(\S+?\}\}|\[\S+?\]\S*),", program)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tpu")


@pytest.fixture(scope="module")
def on_cores(place: Path) -> str:
    words = (*COMMON, *ON_CORES, f"training.max_steps={STEPS}", "training.do_predict=true")
    return train(*words, "output_dir=cores", cwd=place, hlo=place / "hlo")


@pytest.fixture(scope="module")
def on_cpu(place: Path) -> Path:
    words = (*COMMON, *ON_CPU, f"training.max_steps={STEPS}", "training.do_predict=true")
    train(*words, "output_dir=cpu", cwd=place)
    return place / "cpu"


def test_each_core_has_its_share_and_the_gradients_are_summed(place: Path, on_cores: str) -> None:
    assert "on xla (8 virtual devices on the CPU)" in on_cores
    found = programs(place / "hlo")
    assert all("num_partitions=8" in program.splitlines()[0] for program in found)
    step = max(found, key=lambda program: len(all_reduces(program)))
    assert len(all_reduces(step)) >= WEIGHTS
    assert set(all_reduces(step)) == {"{{0,1,2,3,4,5,6,7}}"}
    # two rows of 64 tokens come in, not sixteen
    assert "s64[2,64]" in step.splitlines()[0]
    assert "s64[16,64]" not in step.splitlines()[0]


def test_without_shares_there_is_nothing_to_sum(place: Path, on_cpu: Path) -> None:
    code = (
        "import os; os.environ.update(PJRT_DEVICE='CPU', CPU_NUM_DEVICES='8')\n"
        "from summexp.evaluation import xla; xla._by_rows = lambda tensor: tensor\n"
        "from summexp.entry import main; main()"
    )
    words = (*COMMON, *ON_CORES, "training.max_steps=2", "training.do_eval=false")
    flags = {"XLA_FLAGS": f"--xla_dump_to={place / 'control'} --xla_dump_hlo_as_text"}
    code_, output = started([sys.executable, "-c", code, *words, "output_dir=c"], place, flags)
    assert code_ == 0, output
    found = programs(place / "control")
    assert any("num_partitions=8" in program.splitlines()[0] for program in found)
    assert not [program for program in found if "all-reduce" in program]
    # So that the loss alone would not tell.
    expected = {step: loss for step, loss in history(on_cpu, "loss").items() if step <= 2}
    assert history(place / "c", "loss") == pytest.approx(expected, abs=1e-4)


def test_the_numbers_are_those_of_a_cpu(place: Path, on_cores: str, on_cpu: Path) -> None:
    cores = place / "cores"
    for name, tolerance in (("loss", 1e-4), ("grad_norm", 1e-4), ("eval_loss", 1e-4)):
        expected = history(on_cpu, name)
        assert len(expected) == (STEPS // EVAL_STEPS if name == "eval_loss" else STEPS)
        assert history(cores, name) == pytest.approx(expected, abs=tolerance), on_cores
    losses = list(history(on_cpu, "loss").values())
    assert losses[-1] < losses[0] - 0.5
    assert len(predictions(cores)) == 8
    assert predictions(cores) == predictions(on_cpu)
    assert len({row["prediction"] for row in predictions(cores)}) > 1
    results = [json.loads((one / "all_results.json").read_text()) for one in (cores, on_cpu)]
    for name in ("eval_rouge1", "eval_gen_len", "predict_rouge1", "predict_loss"):
        assert results[0][name] == pytest.approx(results[1][name], abs=1e-4), name


def test_nothing_is_compiled_after_the_first_steps(on_cores: str) -> None:
    total = re.search(r"for the steps: (\d+), the last in step (\d+) of (\d+)", on_cores)
    assert total, on_cores
    count, last, steps = map(int, total.groups())
    # the step before there is a state of the optimizer, the one with it, and the one after the
    # first evaluation
    assert 1 <= count <= 5
    assert last <= EVAL_STEPS + 1
    assert steps == STEPS
    evaluations = re.findall(r"evaluation at step (\d+): XLA compiled programs", on_cores)
    assert evaluations == [str(EVAL_STEPS)]


def test_the_loop_in_plain_sight_has_the_trainers_numbers(place: Path, on_cores: str) -> None:
    words = (*COMMON, *ON_CORES, f"training.max_steps={STEPS}", "training.do_predict=true")
    # A program for each number of steps since the last time would show between two of them.
    words = (*words, "engine=accelerate", f"training.logging_steps={STEPS}", "output_dir=loop")
    output = train(*words, cwd=place)
    cores, loop = place / "cores", place / "loop"
    losses = list(history(cores, "loss").values())[:STEPS]
    assert history(loop, "loss") == {STEPS: pytest.approx(sum(losses) / STEPS, abs=1e-5)}
    norms = history(cores, "grad_norm")
    assert history(loop, "grad_norm") == {STEPS: pytest.approx(norms[STEPS], abs=1e-5)}
    expected = {step: loss for step, loss in history(cores, "eval_loss").items() if step <= STEPS}
    assert history(loop, "eval_loss") == pytest.approx(expected, abs=1e-5), on_cores
    assert predictions(loop) == predictions(cores)
    total = re.search(r"for the steps: (\d+), the last in step (\d+) of (\d+)", output)
    assert total, output
    # Two more than the Trainer has, which count the target tokens.
    assert 1 <= int(total[1]) <= 7
    assert int(total[2]) <= EVAL_STEPS + 1


def test_a_run_resumes_from_its_checkpoint(place: Path, on_cpu: Path) -> None:
    # within an epoch
    words = (*COMMON, *ON_CORES, "training.eval_strategy=no", "output_dir=broken")
    train(*words, "training.max_steps=5", cwd=place)
    output = train(*words, "training.max_steps=9", cwd=place)
    assert "resuming from" in output
    expected = {step: loss for step, loss in history(on_cpu, "loss").items() if step <= 9}
    assert history(place / "broken", "loss") == pytest.approx(expected, abs=1e-4)


def test_another_environment_resumes_from_the_checkpoint(
    place: Path, on_cores: str, on_cpu: Path
) -> None:
    python = os.environ.get("SUMMEXP_PYTHON")
    if not python:
        pytest.skip("SUMMEXP_PYTHON does not name the Python of the usual environment")
    usual = f"import summexp, torch; assert torch.__version__ != {torch_version()!r}"
    assert started([python, "-c", usual], place)[0] == 0, "SUMMEXP_PYTHON is not another one"
    checkpoint = place / "cores" / f"checkpoint-{STEPS}"
    assert checkpoint.is_dir(), on_cores
    evaluation = ("training.do_train=false", "model.init=pretrained", "output_dir=evaluated")
    name = f"model.name_or_path={checkpoint}"
    output = train(
        *COMMON, *ON_CPU, *evaluation, name, "debug.tiny=false", cwd=place, python=python
    )
    results = json.loads((place / "evaluated" / "all_results.json").read_text())
    assert results["eval_loss"] == pytest.approx(history(on_cpu, "eval_loss")[STEPS], abs=1e-4)
    # and trains on, with the optimizer's state
    words = (*COMMON, *ON_CPU, "training.eval_strategy=no")
    train(*words, "output_dir=cpu2", f"training.max_steps={STEPS + 2}", cwd=place)
    words = (*COMMON, *ON_CPU, f"training.max_steps={STEPS + 2}", "output_dir=cores")
    output = train(*words, cwd=place, python=python)
    assert "resuming from" in output
    expected = history(place / "cpu2", "loss")
    assert history(place / "cores", "loss") == pytest.approx(expected, abs=1e-4)


def torch_version() -> str:
    """Return the version of the environment that runs the tests."""
    import torch

    return str(torch.__version__)


def test_cpu_means_the_cpu_where_torch_xla_is_installed(on_cpu: Path) -> None:
    record = json.loads((on_cpu / "run.json").read_text())
    assert record["device"].startswith("cpu (")
    assert record["versions"]["torch_xla"].startswith("2.9.")


def test_a_sweep_does_not_mix_xla_with_others(place: Path) -> None:
    words = ("-m", "debug=tiny", "hardware=cpu,tpu8", "training.do_eval=false", "output_dir=sweep")
    devices = {"PJRT_DEVICE": "CPU", "CPU_NUM_DEVICES": str(DEVICES)}
    code, output = started([sys.executable, str(ROOT / "train.py"), *words], place, devices)
    assert code == 1, output
    assert "xla cannot share a process with others; run it in a separate sweep" in output
