"""Checks of the `hardware` group against the config and this machine, without importing torch.

`check_hardware` depends on this machine and `check_launch` does not: a sweep on Slurm is checked on
the machine that submits it, and its jobs run on others.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from summexp.config.slurm_launcher import LAUNCHER as SLURM
from summexp.distributed.config import HardwareConfig
from summexp.distributed.world import (
    Nodes,
    World,
    nodes,
    outside_world,
    slurm_rendezvous_port,
    world_size,
)
from summexp.engines.generated.training_config import TrainingConfig
from summexp.errors import ConfigError, Problem, RunError
from summexp.launch.accelerators import Gpus, has_amd_driver, has_tpu, is_apple, nvidia_gpus

_RENDEZVOUS = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")
_AMPERE = (8, 0)
"""The first compute capability with bfloat16 and TF32."""
_NEEDS_AMPERE = ("bf16", "bf16_full_eval", "tf32")
_DEVICES = {"cpu": "a CPU", "mps": "an Apple GPU", "xla": "a TPU"}


def check_launch(
    hardware: HardwareConfig, training: TrainingConfig, *, in_sweep: bool = False
) -> Iterator[Problem]:
    """Yield the launch problems that do not depend on the machine.

    Args:
        hardware: the `hardware` group.
        training: the `training` group.
        in_sweep: whether the run is a job of a sweep (`-m`).
    """
    if in_sweep:
        yield from _sweep_problems(hardware)
    yield from _sharding_problems(hardware, training)
    yield from _accelerate_problems(training)
    if training.deepspeed and find_spec("deepspeed") is None:
        yield Problem(
            key="training.deepspeed",
            what="needs the package deepspeed, which is not installed",
            hint='Install it with pip install -c constraints.txt -e ".[deepspeed]", or choose '
            "hardware=fsdp8_bf16, which shards the weights without it.",
        )
    if hardware.backend == "xla":
        yield from _xla_problems(training)


def check_hardware(
    hardware: HardwareConfig, training: TrainingConfig, *, in_sweep: bool = False
) -> Iterator[Problem]:
    """Yield the requirements of the config that this machine or its launcher does not meet.

    Args:
        hardware: the `hardware` group.
        training: the `training` group.
        in_sweep: whether the run is a job of a sweep (`-m`) that runs on this machine.
    """
    world = outside_world()
    if in_sweep and world is not None and world.size > 1:
        return  # `check_launch` rejects it
    if world is None:
        yield from _node_problems(hardware)
    else:
        yield from _rank_problems(hardware, world)
    local_size = world.local_size if world else hardware.processes or 1
    backend = hardware.backend
    if backend == "auto":
        if local_size == 1 and not _half_precision(training):
            return  # any device will do, so NVML is not queried
        backend = _best_backend()
    if backend == "cuda":
        yield from _gpu_problems(training, local_size)
    elif backend == "mps":
        yield from _mps_problems(local_size)
    elif backend == "xla":
        yield from _tpu_problems(hardware)
    if backend != "cuda":
        # Explain why `auto` selected no GPU.
        remark = nvidia_gpus().remark if hardware.backend == "auto" else None
        yield from _needing_a_gpu(training, backend, remark)


def _best_backend() -> str:
    if nvidia_gpus().usable or has_amd_driver():
        return "cuda"
    return "mps" if is_apple() else "cpu"


def _sweep_problems(hardware: HardwareConfig) -> Iterator[Problem]:
    world = outside_world()
    if world is None:
        yield from _sweep_on_nodes(hardware)
        return
    if world.size == 1:
        return
    overrides = f"hardware.processes={world.local_size}"
    count = world.node_count
    if count > 1:
        overrides += f" hardware.nodes={count}"
    asked = hardware.nodes * (hardware.processes or 1) == world.size
    yield Problem(
        what=f"this sweep (-m) was started {world.size} times, by torchrun, accelerate launch or "
        "srun, and each process would run every job",
        hint="Start it once, and each job starts its own processes: python train.py -m "
        f"{'' if asked else f'{overrides} '}… with your other overrides.",
    )


def _sweep_on_nodes(hardware: HardwareConfig) -> Iterator[Problem]:
    # `_node_problems` reports these.
    if [*_rendezvous_problems(hardware)]:
        return
    try:
        here = nodes(hardware)
    except RunError:
        return
    if here is not None and here.count > 1:
        yield Problem(
            what=f"this sweep (-m) was started on {here.count} machines, and each would run "
            "every job",
            hint="Start it once, and let it submit its jobs: python train.py -m "
            f"hydra/launcher=slurm hardware.nodes={here.count} … with your other overrides.",
        )


def _sharding_problems(hardware: HardwareConfig, training: TrainingConfig) -> Iterator[Problem]:
    if training.fsdp and training.deepspeed:
        what = "is set together with training.fsdp; only one of them can shard the weights"
        yield Problem(key="training.deepspeed", what=what, hint="Remove one of them.")
    elif training.fsdp and world_size(hardware) == 1:
        yield Problem(
            key="training.fsdp",
            what="shards the weights over several processes, and this run has one",
            hint="Choose hardware=fsdp8_bf16, with hardware.processes=2 for two GPUs.",
        )
    if training.fsdp and _fsdp_version(training.fsdp_config) != 2:
        yield Problem(
            key="training.fsdp_config",
            what="asks for FSDP 1, which PyTorch and transformers have deprecated",
            hint="Remove version: FSDP 2 is used.",
        )
    if training.fsdp and training.optim == "adafactor":
        yield Problem(
            key="training.optim",
            what="adafactor does not support weights sharded by FSDP",
            hint="Choose training.optim=adamw_torch_fused, or hardware=ddp8_bf16.",
        )
    for name in ("fsdp_config", "deepspeed"):
        value = getattr(training, name)
        if isinstance(value, str) and value.endswith(".json") and not Path(value).is_file():
            hint = f"Paths are relative to {Path.cwd()}; a mapping {{…}} needs no file."
            yield Problem(key=f"training.{name}", what=f"there is no file {value}", hint=hint)


def _accelerate_problems(training: TrainingConfig) -> Iterator[Problem]:
    """Yield the differences between the environment of `accelerate launch` and the config."""
    asked = os.environ.get("ACCELERATE_MIXED_PRECISION", "no")
    chosen = "bf16" if training.bf16 else "fp16" if training.fp16 else "no"
    if asked not in ("no", chosen):
        yield Problem(
            key=f"training.{asked}",
            what=f"was given to accelerate launch (--mixed_precision={asked}), and the config "
            "differs",
            hint=f"Set training.{asked}=true, or give accelerate --mixed_precision=no.",
        )
    for name in ("fsdp", "deepspeed"):
        variable = f"ACCELERATE_USE_{name.upper()}"
        if os.environ.get(variable, "false").lower() == "true" and not getattr(training, name):
            yield Problem(
                key=f"training.{name}",
                what=f"was given to accelerate launch (--use_{name}), and the config differs",
                hint=f"Choose a hardware that sets it, or remove --use_{name}.",
            )


def _fsdp_version(options: Any) -> int:
    if not isinstance(options, Mapping):
        return 2
    return int(options.get("version", options.get("fsdp_version", 2)))


def _xla_problems(training: TrainingConfig) -> Iterator[Problem]:
    if find_spec("torch_xla") is None:
        yield Problem(
            key="hardware.backend",
            what="xla needs the package torch_xla, which is not installed",
            hint="It requires an older PyTorch, so install it in a separate environment: "
            'pip install -c constraints-tpu.txt -e ".[tpu]"',
        )
    if training.optim.endswith("_fused"):
        yield Problem(
            key="training.optim",
            what=f"{training.optim} does not run on XLA",
            hint="Choose hardware=tpu8, or training.optim=adamw_torch.",
        )
    if training.deepspeed:
        what, hint = "does not run on XLA", "Choose hardware=tpu8 alone."
        yield Problem(key="training.deepspeed", what=what, hint=hint)


def _rank_problems(hardware: HardwareConfig, world: World) -> Iterator[Problem]:
    """Yield the differences between the config and the launcher that started this rank."""
    if hardware.processes not in (None, world.local_size):
        yield Problem(
            key="hardware.processes",
            what=f"is {hardware.processes}, but the external launcher has started "
            f"{world.local_size} on this machine",
            hint=f"Set hardware.processes={world.local_size}, or start python train.py without a "
            f"launcher, which starts {hardware.processes}.",
        )
    count = world.node_count
    if hardware.nodes not in (1, count):
        yield Problem(
            key="hardware.nodes",
            what=f"is {hardware.nodes}, but the external launcher has started processes on {count}",
            hint=f"Set hardware.nodes={count}.",
        )
    if world.rank == 0 and "RANK" not in os.environ:
        # Started by srun: rank 0 opens the port itself.
        yield from _port_problems(Nodes(count=count, port=slurm_rendezvous_port()))
    if world.size > 1 and hardware.backend in ("mps", "xla"):
        yield Problem(
            key="hardware.backend",
            what=f"{hardware.backend} supports one process only, and the external launcher has "
            f"started {world.size}",
            hint="Start python train.py without a launcher.",
        )


def _node_problems(hardware: HardwareConfig) -> Iterator[Problem]:
    """Yield the rendezvous problems of a run that starts its own ranks."""
    problems = [*_rendezvous_problems(hardware)]
    if problems:
        yield from problems
        return
    try:
        here = nodes(hardware)
    except RunError as error:
        yield Problem(key="hardware.nodes", what=str(error))
        return
    if here is None:
        yield Problem(
            key="hardware.nodes",
            what=f"asks for {hardware.nodes} machines, but no rendezvous is given",
            hint="Set hardware.nodes=1 to use this machine only. For several, start it on each, "
            f"with srun --nodes={hardware.nodes} "
            "--ntasks-per-node=1 python train.py … or with MASTER_ADDR, MASTER_PORT and NODE_RANK "
            "in the environment. Or submit it with -m hydra/launcher=slurm.",
        )
    elif here.count != hardware.nodes:
        yield Problem(
            key="hardware.nodes",
            what=f"is {hardware.nodes}, but srun has started this on {here.count} machines",
            hint=f"Set hardware.nodes={here.count}.",
        )
    elif here.count > 1 and here.rank == 0:
        yield from _port_problems(here)


def _rendezvous_problems(hardware: HardwareConfig) -> Iterator[Problem]:
    """Yield the problems of the environment variables of the rendezvous."""
    given = {name: os.environ[name] for name in _RENDEZVOUS if name in os.environ}
    if hardware.nodes == 1 or "NODE_RANK" not in given:
        return
    for name in _RENDEZVOUS:
        if name not in given:
            yield Problem(what=f"NODE_RANK is set, but {name} is not", where="environment")
    limits = {"MASTER_PORT": range(1, 2**16), "NODE_RANK": range(hardware.nodes)}
    for name, limit in limits.items():
        value = given.get(name, str(limit.start))
        if not value.isdecimal() or int(value) not in limit:
            what = f"{name} must lie between {limit.start} and {limit.stop - 1}, not {value!r}"
            yield Problem(what=what, where="environment")


def _port_problems(here: Nodes) -> Iterator[Problem]:
    """Yield the problem of a rendezvous port that this node, node 0, cannot listen on."""
    with socket.socket() as listener:
        # As TCPStore does. Without it, a port in TIME_WAIT is rejected.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind(("", here.port))
        except OSError as error:
            yield Problem(
                what=f"cannot listen on the rendezvous port {here.port}: {error.strerror}",
                where="MASTER_PORT" if "MASTER_PORT" in os.environ else None,
                hint="Set MASTER_PORT to a free one, the same on every machine."
                if "MASTER_PORT" in os.environ
                else "Stop the process that uses it; ss -ltnp shows it.",
            )


def _gpu_problems(training: TrainingConfig, local_size: int) -> Iterator[Problem]:
    gpus = nvidia_gpus()
    if not gpus.usable and has_amd_driver():
        return  # their number and kind are unknown
    there = len(gpus.usable)
    # Under srun a single GPU may be visible to each task.
    one_per_task = there == 1 and "SLURM_LOCALID" in os.environ and outside_world() is not None
    if there < local_size and not one_per_task:
        yield _too_few(training, gpus, local_size)
    if there:
        weakest = min(gpus.usable[:local_size], key=lambda gpu: gpu.capability)
        for name in _NEEDS_AMPERE:
            if getattr(training, name) and weakest.capability < _AMPERE:
                major, minor = weakest.capability
                yield Problem(
                    key=f"training.{name}",
                    what="needs a GPU of compute capability 8.0 or above, and the "
                    f"{weakest.name} has {major}.{minor}",
                    hint=f"Set training.{name}=false."
                    if name != "bf16"
                    else "Set training.bf16=false for full precision; add training.fp16=true "
                    "for half precision, in which T5 may overflow.",
                )


def _too_few(training: TrainingConfig, gpus: Gpus, wanted: int) -> Problem:
    """Return the problem of fewer GPUs than processes, with a hint that fits this machine."""
    there = len(gpus.usable)
    remark = f" ({gpus.remark})" if gpus.remark else ""
    if wanted == 1:
        key, what = "hardware.backend", f"there is no GPU on this machine{remark}"
        cpu = "hardware=cpu"
    else:
        key = "hardware.processes"
        what = f"asks for {wanted} GPUs, and this machine has {there or 'none'}{remark}"
        cpu = "hardware=cpu, or hardware=ddp2_cpu for two processes on the CPU"
    if there == 0:
        hint = f"Choose {'hardware=mps, or ' if is_apple() else ''}{cpu}"
        # A choice such as hardware=ddp8_fp16 sets fp16 too.
        hint += "; fp16 requires a GPU." if training.fp16 else "."
    elif outside_world() is not None:
        hint = f"Start as many processes as there are GPUs: torchrun --nproc-per-node={there} …"
    elif there == 1:
        has_bf16 = gpus.usable[0].capability >= _AMPERE
        one = "hardware=gpu_bf16" if training.bf16 and has_bf16 else "hardware=gpu"
        half = " training.fp16=true" if training.fp16 else ""
        hint = f"Choose {one}{half} to use the one GPU, or hardware=ddp2_cpu."
    else:
        hint = f"Add hardware.processes={there} to use the available GPUs"
        steps, rest = divmod(wanted * training.gradient_accumulation_steps, there)
        same = f", and training.gradient_accumulation_steps={steps} for the same global batch"
        hint += "." if rest else f"{same}."
    return Problem(key=key, what=what, hint=hint)


def _mps_problems(local_size: int) -> Iterator[Problem]:
    if not is_apple():
        what = "mps requires an Apple computer, and this is not one"
        hint = "Choose hardware=cpu, or hardware=auto to detect the device."
        yield Problem(key="hardware.backend", what=what, hint=hint)
    elif local_size > 1:
        what = f"is {local_size}, and this computer has one GPU, which supports one process"
        hint = "Choose hardware=mps for one process, or hardware=ddp2_cpu for two on the CPU."
        yield Problem(key="hardware.processes", what=what, hint=hint)


def _tpu_problems(hardware: HardwareConfig) -> Iterator[Problem]:
    on_the_cpu = hardware.virtual_devices is not None or os.environ.get("PJRT_DEVICE") == "CPU"
    if not on_the_cpu and not has_tpu():
        yield Problem(
            key="hardware.backend",
            what="there is no TPU on this machine",
            hint="Add hardware.virtual_devices=8 to try it on the CPU, or choose "
            "hardware=auto to detect the device.",
        )


def _half_precision(training: TrainingConfig) -> bool:
    return any(getattr(training, name) for name in ("fp16", *_NEEDS_AMPERE))


def _needing_a_gpu(training: TrainingConfig, backend: str, remark: str | None) -> Iterator[Problem]:
    what = "needs an NVIDIA or AMD GPU, and this run has none"
    for name in ("fp16", "tf32"):
        # Apple GPUs support fp16.
        if getattr(training, name) and (backend, name) != ("mps", "fp16"):
            yield Problem(
                key=f"training.{name}",
                what=f"{what} ({remark})" if remark else what,
                hint=f"Disable it on {_DEVICES[backend]}: training.{name}=false",
            )


def check_on_arrival(hardware: HardwareConfig, training: TrainingConfig, hydra: Any) -> None:
    """Check the machine that a sweep handed this job to, which the sweep itself could not.

    Raises:
        ConfigError: it has not what the job needs.
    """
    problems = [*check_hardware(hardware, training)] if is_elsewhere(hydra) else []
    if problems:
        raise ConfigError(problems)


def is_elsewhere(hydra: Any) -> bool:
    """Return whether the launcher of a `hydra` node runs the jobs of a sweep on other machines."""
    return bool(hydra.launcher.get("_target_") == SLURM)
