from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pynvml
import pytest

from summexp.launch import accelerators
from summexp.launch.accelerators import Gpu, Gpus, nvidia_gpus

UUIDS = ("GPU-0aaa", "GPU-1bbb", "GPU-2ccc", "GPU-2cdd")


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(accelerators, "_torch_lacks_gpus", lambda: False)
    monkeypatch.setattr(
        accelerators,
        "_listed",
        lambda: (
            [Gpu(name="H200", uuid=uuid, capability=(9, 0)) for uuid in UUIDS],
            None,
        ),
    )


@pytest.mark.parametrize(
    ("variable", "shown"),
    [
        (None, "0123"),
        ("", ""),
        ("-1", ""),
        ("NoDevFiles", ""),
        ("2", "2"),
        ("3,1", "31"),
        (" 1 , 2 ", "12"),
        ("0,-1,2", "0"),
        ("1,7,2", "1"),
        ("1,1", ""),
        ("GPU-1b", "1"),
        ("GPU-2ccc,GPU-0aaa", "20"),
        ("GPU-0aaa,GPU-9", "0"),
        # The beginning of two.
        ("GPU-2c", ""),
        ("GPU-0aaa,1", "0"),
        ("0,GPU-1bbb", "0"),
    ],
)
def test_which_gpus_cuda_shows(
    variable: str | None, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", variable)
    found = nvidia_gpus()
    assert [gpu.uuid for gpu in found.usable] == [UUIDS[int(number)] for number in shown]
    hidden = 4 - len(shown)
    assert found.remark == (f"CUDA_VISIBLE_DEVICES hides {hidden} of 4" if hidden else None)


def test_slices_of_a_gpu_count_as_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1,MIG-2")
    assert [gpu.uuid for gpu in nvidia_gpus().usable] == ["MIG-1"]


def test_a_torch_without_cuda_has_no_use_for_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(accelerators, "_torch_lacks_gpus", lambda: True)
    assert nvidia_gpus() == Gpus(remark="the installed PyTorch has no CUDA support")


@pytest.mark.parametrize(
    ("lines", "lacks"),
    [
        (["cuda: Optional[str] = None", "hip: Optional[str] = None"], True),
        (["cuda: Optional[str] = '12.8'", "hip: Optional[str] = None"], False),
        (["cuda = None", "hip = '6.4'"], False),
        (["__version__ = '9'"], False),
    ],
)
def test_what_torch_was_built_for(
    lines: list[str], lacks: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    (tmp_path / "version.py").write_text("\n".join(["debug = False", *lines, ""]))
    spec = SimpleNamespace(submodule_search_locations=[str(tmp_path)])
    monkeypatch.setattr(accelerators, "find_spec", lambda _name: spec)
    assert accelerators._torch_lacks_gpus() is lacks


def test_what_the_installed_torch_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.undo()
    built_for = (torch.version.cuda, torch.version.hip)
    assert accelerators._torch_lacks_gpus() is (built_for == (None, None))


def raising(error: Exception) -> Callable[[], None]:
    def init() -> None:
        raise error

    return init


@pytest.mark.parametrize(
    ("code", "remark"),
    [
        (pynvml.NVML_ERROR_LIBRARY_NOT_FOUND, None),
        (
            pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH,
            "NVIDIA driver error: RM has detected an NVML/RM version mismatch.",
        ),
    ],
)
def test_a_driver_that_is_absent_or_in_trouble(
    code: int, remark: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.undo()
    monkeypatch.setattr(pynvml, "nvmlInit", raising(pynvml.NVMLError(code)))
    accelerators._listed.cache_clear()
    try:
        assert nvidia_gpus() == Gpus(remark=remark)
    finally:
        accelerators._listed.cache_clear()


def test_what_nvml_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    answers = {
        "nvmlInit": lambda: None,
        "nvmlShutdown": lambda: None,
        "nvmlDeviceGetCount": lambda: 2,
        "nvmlDeviceGetHandleByIndex": lambda index: index,
        "nvmlDeviceGetName": lambda handle: f"T{handle}",
        "nvmlDeviceGetUUID": lambda handle: f"GPU-{handle}",
        "nvmlDeviceGetCudaComputeCapability": lambda handle: [7, handle],
    }
    for name, answer in answers.items():
        monkeypatch.setattr(pynvml, name, answer)
    accelerators._listed.cache_clear()
    try:
        assert accelerators._listed() == (
            [
                Gpu(name="T0", uuid="GPU-0", capability=(7, 0)),
                Gpu(name="T1", uuid="GPU-1", capability=(7, 1)),
            ],
            None,
        )
    finally:
        accelerators._listed.cache_clear()


def test_it_agrees_with_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.undo()
    if not torch.cuda.is_available() or torch.version.hip:
        pytest.skip("needs an NVIDIA GPU")
    shown = [torch.cuda.get_device_properties(one) for one in range(torch.cuda.device_count())]
    usable = nvidia_gpus().usable
    assert len(usable) == len(shown)
    assert sorted(gpu.capability for gpu in usable) == sorted((p.major, p.minor) for p in shown)


def test_asking_does_not_import_torch() -> None:
    code = (
        "import sys; from summexp.launch import accelerators, launch_checks; "
        "accelerators.nvidia_gpus(); accelerators.has_tpu(); assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
