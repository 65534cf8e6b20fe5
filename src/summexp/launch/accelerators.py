"""Detection of accelerators visible to this process, without importing torch.

NVIDIA GPUs are listed through NVML, which ignores `CUDA_VISIBLE_DEVICES`. That variable is applied
here, by the rules of the CUDA C++ Programming Guide ("CUDA Environment Variables"). For AMD GPUs
only the presence of the driver is checked.
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
    """Name reported by the driver."""
    uuid: str
    """`GPU-…`."""
    capability: tuple[int, int]
    """Its compute capability, such as (9, 0)."""


@dataclass(frozen=True, kw_only=True)
class Gpus:
    """The NVIDIA GPUs of this machine that this process can use."""

    usable: Sequence[Gpu] = ()
    """The GPUs visible to CUDA."""
    remark: str | None = None
    """Why some or all GPUs are missing, if known."""


def nvidia_gpus() -> Gpus:
    """Return the NVIDIA GPUs that this process can use."""
    found, trouble = _listed()
    if not found:
        return Gpus(remark=trouble)
    if _torch_lacks_gpus():
        return Gpus(remark="the installed PyTorch has no CUDA support")
    usable = _shown(found, os.environ.get(_VISIBLE))
    hidden = len(found) - len(usable)
    remark = f"{_VISIBLE} hides {hidden} of {len(found)}" if hidden else None
    return Gpus(usable=usable, remark=remark)


def has_amd_driver() -> bool:
    """Return whether the AMD GPU driver is installed."""
    return Path("/dev/kfd").exists()


def is_apple() -> bool:
    """Return whether this is an Apple computer with a GPU that PyTorch can use."""
    return (platform.system(), platform.machine()) == ("Darwin", "arm64")


def has_tpu() -> bool:
    """Return whether a TPU's device file exists (`/dev/accel*` up to v4, `/dev/vfio/*` later)."""
    return any(Path("/dev").glob("accel[0-9]*")) or any(Path("/dev/vfio").glob("[0-9]*"))


@cache
def _listed() -> tuple[list[Gpu], str | None]:
    """Return all NVIDIA GPUs of the machine, and the driver's error, if any."""
    # Imported late: it takes 30 ms.
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError_LibraryNotFound:
        return [], None
    except pynvml.NVMLError as error:
        return [], f"NVIDIA driver error: {error}"
    try:
        return [_gpu(index) for index in range(pynvml.nvmlDeviceGetCount())], None
    except pynvml.NVMLError as error:
        return [], f"NVIDIA driver error: {error}"
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
            # CUDA ignores the entries after an invalid one.
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
