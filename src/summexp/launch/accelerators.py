"""The accelerators that a process would see, as their drivers report them, without importing torch.

NVIDIA's are read through NVML, which counts those of the machine; which of them CUDA shows to a
process is worked out from `CUDA_VISIBLE_DEVICES` by the rules of the CUDA C++ Programming Guide
("CUDA Environment Variables"). Of AMD's only the driver is looked for.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

_VISIBLE = "CUDA_VISIBLE_DEVICES"
_TORCH_BUILD = re.compile(r"^(?:cuda|hip)\b.*=\s*(\S+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One NVIDIA GPU."""

    name: str
    """As the driver calls it."""
    uuid: str
    """`GPU-…`."""
    capability: tuple[int, int]
    """Its compute capability, such as (9, 0)."""


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """The NVIDIA GPUs of this machine that this process can use."""

    usable: Sequence[Gpu] = ()
    """Those that CUDA would show it."""
    remark: str | None = None
    """Why there are not more, if the reason is known."""


def nvidia_gpus() -> Gpus:
    """Return the NVIDIA GPUs that this process can use."""
    found, trouble = _listed()
    if not found:
        return Gpus(remark=trouble)
    if _torch_lacks_gpus():
        return Gpus(remark="the installed PyTorch is built without CUDA")
    usable = _shown(found, os.environ.get(_VISIBLE))
    hidden = len(found) - len(usable)
    remark = f"{_VISIBLE} hides {hidden} of {len(found)}" if hidden else None
    return Gpus(usable=usable, remark=remark)


def has_amd_driver() -> bool:
    """Return whether there is the driver of AMD's GPUs."""
    return Path("/dev/kfd").exists()


def is_apple() -> bool:
    """Return whether this is an Apple computer with a GPU that PyTorch can use."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")


def has_tpu() -> bool:
    """Return whether there is the device file of a TPU: of the first four kinds or later ones."""
    return any(Path("/dev").glob("accel[0-9]*")) or any(Path("/dev/vfio").glob("[0-9]*"))


@cache
def _listed() -> tuple[list[Gpu], str | None]:
    """Return all NVIDIA GPUs of the machine, and the driver's error where it has one."""
    # 30 ms that a run without GPU does not need.
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return [], None
    except pynvml.NVMLError as error:
        return [], f"NVIDIA's driver reports: {error}"
    try:
        return [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())], None
    except pynvml.NVMLError as error:
        return [], f"NVIDIA's driver reports: {error}"
    finally:
        pynvml.nvmlShutdown()


def _gpu(index: int) -> Gpu:
    import pynvml

    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    return Gpu(
        name=pynvml.nvmlDeviceGetName(handle),
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        capability=tuple(pynvml.nvmlDeviceGetCudaComputeCapability(handle)),
    )


def _shown(gpus: Sequence[Gpu], variable: str | None) -> list[Gpu]:
    """Return those of the machine's GPUs that CUDA shows under a `CUDA_VISIBLE_DEVICES`."""
    if variable is None:
        return list(gpus)
    if variable.startswith("MIG-"):
        # A process sees one slice of a GPU; those that can be sliced begin with 8.0.
        return [Gpu(name="a MIG slice", uuid=variable.split(",")[0], capability=(8, 0))]
    shown: list[Gpu] = []
    for word in variable.split(","):
        gpu = _named(gpus, word.strip(), by_uuid=variable.startswith("GPU-"))
        if gpu is None:
            # What comes after an entry without a GPU is not looked at.
            break
        if gpu in shown:
            return []
        shown.append(gpu)
    return shown


def _named(gpus: Sequence[Gpu], word: str, *, by_uuid: bool) -> Gpu | None:
    """Return the GPU of one entry: the beginning of its UUID, or its number."""
    if by_uuid:
        found = [gpu for gpu in gpus if word.startswith("GPU-") and gpu.uuid.startswith(word)]
        return found[0] if len(found) == 1 else None
    number = re.match(r"\+?\d+", word)
    if number is None or int(number[0]) >= len(gpus):
        return None
    return gpus[int(number[0])]


def _torch_lacks_gpus() -> bool:
    """Return whether the installed PyTorch was built for neither CUDA nor ROCm."""
    spec = find_spec("torch")
    folders = spec.submodule_search_locations if spec else None
    if not folders:
        return False
    built_for = _TORCH_BUILD.findall(Path(folders[0], "version.py").read_text(encoding="utf-8"))
    return bool(built_for) and set(built_for) == {"None"}
