"""What one NVIDIA GPU can show, from the command line; skipped where there is none."""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from summexp.launch.accelerators import nvidia_gpus

GPUS = nvidia_gpus()
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not GPUS.usable, reason=f"no NVIDIA GPU: {GPUS.remark or 'none found'}"),
]
needs_bf16 = pytest.mark.skipif(
    any(gpu.capability < (8, 0) for gpu in GPUS.usable), reason="the GPU is older than bfloat16"
)

TRAIN = Path(__file__).resolve().parents[2] / "train.py"
STEPS = 12
SMALL = (
    "model.architecture.d_model=64",
    "model.architecture.d_ff=128",
    "data.max_train_samples=96",
    "data.max_eval_samples=13",
    "data.max_predict_samples=13",
    "generation.max_new_tokens=8",
    "training.per_device_train_batch_size=8",
    "training.per_device_eval_batch_size=3",
    f"training.max_steps={STEPS}",
    "training.learning_rate=0.003",
    "training.lr_scheduler_type=constant",
    "training.logging_steps=1",
    "training.do_predict=true",
)
LOUD = 300.0
"""Activations between the layers are then some hundred thousands: more than fp16 has, and little
for bf16. What follows is normalised, so that loss and gradients are those of an ordinary model."""


def start(words: tuple[str, ...], cwd: Path, *launcher: str, **environment: str) -> Any:
    """Run `train.py` with `words`, by way of `python LAUNCHER`, to its end."""
    return subprocess.run(
        [sys.executable, *launcher, str(TRAIN), *SMALL, *words],
        cwd=cwd,
        env=os.environ | {"OMP_NUM_THREADS": "4"} | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def run(cwd: Path, name: str, *words: str, **environment: str) -> Path:
    """Run `train.py` with `words` into the folder `name`, and require that it ends well."""
    done = start((*words, f"output_dir={name}"), cwd, **environment)
    assert done.returncode == 0, done.stdout
    return cwd / name


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("gpu")


@pytest.fixture(scope="module")
def on_cpu(place: Path) -> Path:
    return run(place, "cpu", "hardware=cpu")


@pytest.fixture(scope="module")
def on_gpu(place: Path) -> Path:
    return run(place, "gpu", "hardware=gpu")


def curve(folder: Path, name: str = "loss") -> list[float]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry[name] for entry in history if name in entry]


def results(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "all_results.json").read_text()))


def record(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "run.json").read_text()))


def predictions(folder: Path) -> dict[str, str]:
    lines = (folder / "generated_predictions.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    return {row["id"]: row["prediction"] for row in rows}


def evaluated(place: Path, name: str, model: Path, *words: str) -> Path:
    """Evaluate and predict with the weights of another run, and do not train."""
    return run(place, name, *pretrained(model), "training.do_train=false", *words)


def pretrained(model: Path) -> tuple[str, ...]:
    """Return the words that take the weights of a folder in place of random ones."""
    return (f"model.name_or_path={model}", "model.init=pretrained", "model.architecture={}")


def test_fp32_gives_the_numbers_of_the_cpu(on_cpu: Path, on_gpu: Path) -> None:
    assert record(on_gpu)["device"] == f"cuda ({torch.cuda.get_device_name(0)})"
    assert record(on_cpu)["device"].startswith("cpu")
    assert len(curve(on_gpu)) == STEPS
    # The first loss is of the same weights; then what is rounded otherwise adds up.
    assert curve(on_gpu)[0] == pytest.approx(curve(on_cpu)[0], abs=1e-4)
    for kind in ("loss", "grad_norm", "eval_loss"):
        assert curve(on_gpu, kind) == pytest.approx(curve(on_cpu, kind), rel=0.01)


@needs_bf16
def test_bf16_is_another_precision_of_the_same_training(place: Path, on_gpu: Path) -> None:
    folder = run(place, "bf16", "hardware=gpu_bf16")
    assert curve(folder) != curve(on_gpu)
    assert curve(folder) == pytest.approx(curve(on_gpu), rel=0.02)
    # Mixed precision: the weights stay float32.
    weights = load_file(folder / "model.safetensors")
    assert {tensor.dtype for tensor in weights.values()} == {torch.float32}


@needs_bf16
def test_bf16_evaluates_the_same_rows(place: Path, on_gpu: Path) -> None:
    exact = evaluated(place, "evaluated-fp32", on_gpu, "hardware=auto")
    rounded = evaluated(place, "evaluated-bf16", on_gpu, "hardware=gpu_bf16")
    again = evaluated(place, "evaluated-again", on_gpu, "hardware=gpu_bf16")
    # `auto` takes the GPU, and the weights that were saved are those that were evaluated.
    assert record(exact)["device"].startswith("cuda")
    assert results(exact)["eval_loss"] == pytest.approx(results(on_gpu)["eval_loss"], rel=1e-4)
    assert predictions(exact) == predictions(on_gpu)
    assert list(predictions(rounded)) == list(predictions(exact))
    assert len(predictions(rounded)) == 13
    assert results(rounded)["eval_loss"] != results(exact)["eval_loss"]
    assert results(rounded)["eval_loss"] == pytest.approx(results(exact)["eval_loss"], rel=0.01)
    assert predictions(again) == predictions(rounded)


def test_fp16_resumes_from_a_checkpoint_with_its_loss_scaler(place: Path) -> None:
    words = (
        "hardware=gpu",
        "training.fp16=true",
        # Without the GPU's random numbers, dropout would be another after the checkpoint.
        "model.architecture.dropout_rate=0.2",
        "training.save_strategy=steps",
        f"training.save_steps={STEPS // 2}",
    )
    whole = run(place, "whole", *words)
    run(place, "broken", *words, f"training.max_steps={STEPS // 2}")
    done = start((*words, "output_dir=broken"), place)
    assert done.returncode == 0, done.stdout
    assert f"broken/checkpoint-{STEPS // 2}\n" in done.stdout
    scaler = torch.load(place / "broken" / f"checkpoint-{STEPS}" / "scaler.pt")
    # Its scale, and the steps since that was halved last, are those of both parts together.
    assert scaler == torch.load(whole / f"checkpoint-{STEPS}" / "scaler.pt")
    assert all(math.isfinite(loss) for loss in curve(whole))
    assert curve(place / "broken") == pytest.approx(curve(whole), rel=0.002)


@pytest.fixture(scope="module")
def loud(place: Path, on_gpu: Path) -> Path:
    """A model whose feed-forward layers are as loud as those of published T5s are."""
    folder = place / "loud"
    folder.mkdir()
    for name in ("config.json", "tokenizer.json", "tokenizer_config.json"):
        shutil.copy(on_gpu / name, folder)
    weights = load_file(on_gpu / "model.safetensors")
    for name, tensor in weights.items():
        if ".DenseReluDense." in name:
            tensor *= LOUD
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return folder


@needs_bf16
@pytest.mark.parametrize("engine", ["trainer", "accelerate"])
def test_what_overflows_in_fp16_is_rejected_and_trains_in_bf16(
    place: Path, loud: Path, engine: str
) -> None:
    words = (
        f"engine={engine}",
        *pretrained(loud),
        "training.max_steps=30",
        "training.do_eval=false",
        "training.do_predict=false",
    )
    name = f"overflow-{engine}"
    done = start(("hardware=gpu", "training.fp16=true", *words, f"output_dir={name}"), place)
    assert done.returncode == 1
    assert "the loss is not finite at step" in done.stdout
    assert "hardware=gpu_bf16" in done.stdout
    assert "Traceback" not in done.stdout
    assert record(place / name)["status"] == "failed"
    folder = run(place, f"no-{name}", "hardware=gpu_bf16", *words)
    assert len(curve(folder)) == 30
    assert all(0 < loss < 20 for loss in curve(folder))


@pytest.mark.skipif(
    shutil.which("cc") is None or not Path(sysconfig.get_path("include"), "Python.h").is_file(),
    reason="torch.compile wants a C compiler and Python's headers",
)
def test_compiling_changes_no_number(place: Path, on_gpu: Path, tmp_path: Path) -> None:
    words = ("hardware=gpu", "training.torch_compile=true")
    folder = run(place, "compiled", *words, TORCHINDUCTOR_CACHE_DIR=str(tmp_path))
    kernels = [path for path in tmp_path.rglob("*.py") if "triton" in path.read_text()]
    assert kernels, "nothing was compiled"
    assert curve(folder) == pytest.approx(curve(on_gpu), rel=0.01)
    one, other = (load_file(path / "model.safetensors") for path in (folder, on_gpu))
    assert one.keys() == other.keys()


def test_ddp_through_nccl(place: Path, on_gpu: Path) -> None:
    torchrun = ("-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1")
    done = start(("hardware=gpu", "output_dir=ddp"), place, *torchrun, NCCL_DEBUG="INFO")
    assert done.returncode == 0, done.stdout
    assert "NCCL INFO" in done.stdout
    folder = place / "ddp"
    assert (record(folder)["world_size"], record(folder)["status"]) == (1, "finished")
    assert record(folder)["devices"] == record(on_gpu)["devices"]
    assert curve(folder) == pytest.approx(curve(on_gpu), rel=0.002)
    assert list(predictions(folder)) == list(predictions(on_gpu))


def test_accumulation_saves_memory_and_changes_no_number(place: Path) -> None:
    wide = (
        "hardware=gpu",
        "training.skip_memory_metrics=false",
        "training.eval_strategy=no",
        "training.do_eval=false",
        "training.do_predict=false",
    )
    folders = []
    for rows, accumulation in ((32, 1), (4, 8)):
        split = (
            f"training.per_device_train_batch_size={rows}",
            f"training.gradient_accumulation_steps={accumulation}",
        )
        folders.append(run(place, f"memory-{rows}", *wide, *split))
    whole, parts = (results(folder)["train_mem_gpu_peaked_delta"] for folder in folders)
    assert 0 < parts < whole / 3
    assert curve(folders[1]) == pytest.approx(curve(folders[0]), rel=0.002)


def test_more_processes_than_gpus_are_rejected(place: Path) -> None:
    count = len(GPUS.usable)
    words = ("hardware=ddp8_fp16", f"hardware.processes={count + 1}", "output_dir=refused")
    done = start(words, place)
    assert done.returncode == 2
    assert f"asks for {count + 1} GPUs, and this machine has {count}" in done.stdout
    assert not (place / "refused").exists()
