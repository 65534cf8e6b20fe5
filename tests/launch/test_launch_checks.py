from __future__ import annotations

import os
import shlex
import socket
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from summexp.check import check
from summexp.command_line import parse
from summexp.config.schema import Config
from summexp.config.slurm_launcher import LAUNCHER
from summexp.distributed.config import HardwareConfig
from summexp.distributed.world import World, outside_world
from summexp.engines.generated.training_config import TrainingConfig
from summexp.errors import ConfigError, Problem, RunError
from summexp.launch import launch_checks
from summexp.launch.accelerators import Gpu, Gpus
from summexp.launch.launch_checks import check_on_arrival

Machine = Callable[..., None]

CPU_ONLY = "Choose hardware=cpu, or hardware=ddp2_cpu for two processes on the CPU."


@pytest.fixture(autouse=True)
def nobody_started_us(monkeypatch: pytest.MonkeyPatch) -> None:
    ours = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "NODE_RANK", "PJRT_DEVICE")
    for name in list(os.environ):
        if name in ours or name.startswith(("SLURM_", "MASTER_")):
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    """Make the machine one with such devices and packages; at first it has none."""

    def make(
        gpus: int = 0,
        capability: tuple[int, int] = (9, 0),
        remark: str | None = None,
        amd: bool = False,
        apple: bool = False,
        tpu: bool = False,
        packages: tuple[str, ...] = (),
    ) -> None:
        usable = [
            Gpu(
                name="Tesla V100" if capability < (8, 0) else "H200", uuid="", capability=capability
            )
        ] * gpus
        monkeypatch.setattr(
            launch_checks, "nvidia_gpus", lambda: Gpus(usable=usable, remark=remark)
        )
        monkeypatch.setattr(launch_checks, "has_amd_driver", lambda: amd)
        monkeypatch.setattr(launch_checks, "is_apple", lambda: apple)
        monkeypatch.setattr(launch_checks, "has_tpu", lambda: tpu)
        installed = SimpleNamespace()
        monkeypatch.setattr(
            launch_checks, "find_spec", lambda name: installed if name in packages else None
        )

    make()
    return make


def started_by_torchrun(
    monkeypatch: pytest.MonkeyPatch, size: int, local_size: int | None = None
) -> None:
    names = {"RANK": 0, "LOCAL_RANK": 0, "WORLD_SIZE": size, "LOCAL_WORLD_SIZE": local_size or size}
    for name, value in names.items():
        monkeypatch.setenv(name, str(value))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("RANK", "x"),
        ("RANK", "2"),
        ("LOCAL_RANK", "-1"),
        ("LOCAL_RANK", "2"),
        ("WORLD_SIZE", "two"),
        ("WORLD_SIZE", "0"),
        ("LOCAL_WORLD_SIZE", "0"),
        ("LOCAL_WORLD_SIZE", "3"),
    ],
)
def test_a_launcher_that_gives_no_world_is_reported(name: str, value: str) -> None:
    given = {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2"}
    assert outside_world(given) == World(rank=0, size=2, local_rank=0, local_size=2)
    with pytest.raises(ConfigError, match=f"{name} must lie between .* not {value!r}"):
        outside_world({**given, name: value})


def here(training: dict[str, Any] | None = None, **hardware: Any) -> list[Problem]:
    options = TrainingConfig(**(training or {}))
    return list(launch_checks.check_hardware(HardwareConfig(**hardware), options))


def anywhere(
    training: dict[str, Any] | None = None, *, in_sweep: bool = False, **hardware: Any
) -> list[Problem]:
    options = TrainingConfig(**(training or {}))
    return list(launch_checks.check_launch(HardwareConfig(**hardware), options, in_sweep=in_sweep))


def reported(problems: list[Problem]) -> list[tuple[str | None, str, str | None]]:
    return [(problem.key, problem.what, problem.hint) for problem in problems]


def keys(problems: list[Problem]) -> list[str | None]:
    return [problem.key for problem in problems]


# GPUs


def test_eight_gpus_asked_and_none_there() -> None:
    assert reported(here(backend="cuda", processes=8)) == [
        ("hardware.processes", "asks for 8 GPUs, and this machine has none", CPU_ONLY)
    ]
    # A choice such as ddp8_fp16 brings fp16 along: one problem, not two.
    assert reported(here({"fp16": True}, backend="cuda", processes=8)) == [
        (
            "hardware.processes",
            "asks for 8 GPUs, and this machine has none",
            f"{CPU_ONLY[:-1]}; fp16 requires a GPU.",
        )
    ]


def test_one_gpu_asked_and_none_there(machine: Machine) -> None:
    assert reported(here(backend="cuda")) == [
        ("hardware.backend", "there is no GPU on this machine", "Choose hardware=cpu.")
    ]
    machine(apple=True)
    (problem,) = here(backend="cuda")
    assert problem.hint == "Choose hardware=mps, or hardware=cpu."


def test_why_there_is_none(machine: Machine) -> None:
    machine(remark="CUDA_VISIBLE_DEVICES hides 8 of 8")
    (problem,) = here(backend="cuda")
    assert problem.what == "there is no GPU on this machine (CUDA_VISIBLE_DEVICES hides 8 of 8)"
    (problem,) = here({"fp16": True}, backend="auto")
    assert problem.what.endswith("and this run has none (CUDA_VISIBLE_DEVICES hides 8 of 8)")


@pytest.mark.parametrize("backend", ["cuda", "auto"])
def test_fewer_gpus_than_asked(backend: str, machine: Machine) -> None:
    machine(gpus=2)
    assert reported(here({"bf16": True}, backend=backend, processes=8)) == [
        (
            "hardware.processes",
            "asks for 8 GPUs, and this machine has 2",
            "Add hardware.processes=2 to use the available GPUs, and "
            "training.gradient_accumulation_steps=4 for the same global batch.",
        )
    ]
    machine(gpus=3)
    (problem,) = here(backend=backend, processes=8)
    assert problem.hint == "Add hardware.processes=3 to use the available GPUs."
    machine(gpus=8)
    assert here({"bf16": True}, backend=backend, processes=8) == []


def test_one_gpu_where_many_are_asked(machine: Machine) -> None:
    machine(gpus=1, remark="CUDA_VISIBLE_DEVICES hides 7 of 8")
    cases = {
        "bf16": "hardware=gpu_bf16",
        "fp16": "hardware=gpu training.fp16=true",
        "do_train": "hardware=gpu",
    }
    for name, choice in cases.items():
        assert reported(here({name: True}, backend="cuda", processes=8)) == [
            (
                "hardware.processes",
                "asks for 8 GPUs, and this machine has 1 (CUDA_VISIBLE_DEVICES hides 7 of 8)",
                f"Choose {choice} to use the one GPU, or hardware=ddp2_cpu.",
            )
        ]


def test_gpus_of_amd_are_not_counted(machine: Machine) -> None:
    machine(amd=True)
    assert here({"bf16": True}, backend="cuda", processes=8) == []
    assert here({"fp16": True, "tf32": True}, backend="auto") == []


def test_the_default_asks_no_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def asked() -> Gpus:
        raise AssertionError("NVML was asked")

    monkeypatch.setattr(launch_checks, "nvidia_gpus", asked)
    assert here(backend="auto") == []
    assert here({"bf16": True}, backend="cpu", processes=2) == []


# half precision


def test_fp16_and_tf32_on_a_cpu() -> None:
    what = "needs an NVIDIA or AMD GPU, and this run has none"
    assert reported(here({"fp16": True, "tf32": True}, backend="cpu", processes=2)) == [
        ("training.fp16", what, "Disable it on a CPU: training.fp16=false"),
        ("training.tf32", what, "Disable it on a CPU: training.tf32=false"),
    ]
    assert here({"bf16": True}, backend="cpu") == []


def test_fp16_and_tf32_on_other_devices(machine: Machine) -> None:
    machine(apple=True, tpu=True)
    half = {"fp16": True, "tf32": True}
    assert keys(here(half, backend="mps")) == ["training.tf32"]
    assert keys(here(half, backend="auto")) == ["training.tf32"]
    assert keys(here(half, backend="xla")) == ["training.fp16", "training.tf32"]
    assert keys(here(half, backend="cpu")) == ["training.fp16", "training.tf32"]


def test_bf16_on_a_gpu_that_lacks_it(machine: Machine) -> None:
    machine(gpus=1, capability=(7, 0))
    what = "needs a GPU of compute capability 8.0 or above, and the Tesla V100 has 7.0"
    assert reported(here({"bf16": True, "tf32": True}, backend="auto")) == [
        (
            "training.bf16",
            what,
            "Set training.bf16=false for full precision; add training.fp16=true for half "
            "precision, in which T5 may overflow.",
        ),
        ("training.tf32", what, "Set training.tf32=false."),
    ]
    assert here({"fp16": True}, backend="cuda") == []
    (too_few, _) = here({"bf16": True}, backend="cuda", processes=8)
    assert "Choose hardware=gpu to use the one" in (too_few.hint or "")
    machine(gpus=1, capability=(8, 0))
    assert here({"bf16": True, "tf32": True}, backend="cuda") == []


# other devices


def test_an_apple_gpu(machine: Machine) -> None:
    assert reported(here(backend="mps")) == [
        (
            "hardware.backend",
            "mps requires an Apple computer, and this is not one",
            "Choose hardware=cpu, or hardware=auto to detect the device.",
        )
    ]
    machine(apple=True)
    assert here(backend="mps") == []
    (problem,) = here(backend="auto", processes=2)
    assert problem.key == "hardware.processes"
    assert "hardware=ddp2_cpu" in (problem.hint or "")


def test_a_tpu(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    assert reported(here(backend="xla")) == [
        (
            "hardware.backend",
            "there is no TPU on this machine",
            "Add hardware.virtual_devices=8 to try it on the CPU, or choose hardware=auto to "
            "detect the device.",
        )
    ]
    assert here(backend="xla", virtual_devices=8) == []
    monkeypatch.setenv("PJRT_DEVICE", "CPU")
    assert here(backend="xla") == []
    monkeypatch.setenv("PJRT_DEVICE", "TPU")
    assert keys(here(backend="xla")) == ["hardware.backend"]
    machine(tpu=True)
    assert here(backend="xla") == []


def test_what_xla_needs(machine: Machine) -> None:
    plain = {"optim": "adamw_torch"}
    (problem,) = anywhere(plain, backend="xla")
    assert problem.what == "xla needs the package torch_xla, which is not installed"
    assert 'pip install -c constraints-tpu.txt -e ".[tpu]"' in (problem.hint or "")
    machine(packages=("torch_xla", "deepspeed"))
    assert anywhere(plain, backend="xla") == []
    assert reported(anywhere(backend="xla")) == [
        (
            "training.optim",
            "adamw_torch_fused does not run on XLA",
            "Choose hardware=tpu8, or training.optim=adamw_torch.",
        )
    ]
    assert keys(anywhere({**plain, "deepspeed": {}}, backend="xla")) == []
    assert keys(anywhere({**plain, "deepspeed": {"a": 1}}, backend="xla")) == ["training.deepspeed"]


# sharding


def test_deepspeed_that_is_not_installed(machine: Machine) -> None:
    asked = {"deepspeed": {"zero_optimization": {"stage": 2}}}
    (problem,) = anywhere(asked, backend="cuda", processes=8)
    assert problem.key == "training.deepspeed"
    assert problem.what == "needs the package deepspeed, which is not installed"
    assert 'pip install -c constraints.txt -e ".[deepspeed]"' in (problem.hint or "")
    assert "hardware=fsdp8_bf16" in (problem.hint or "")
    machine(packages=("deepspeed",))
    assert anywhere(asked, backend="cuda", processes=8) == []


def test_fsdp_wants_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    (problem,) = anywhere({"fsdp": True}, backend="cuda")
    assert problem.key == "training.fsdp"
    assert "hardware=fsdp8_bf16" in (problem.hint or "")
    assert anywhere({"fsdp": True}, backend="cpu", processes=2) == []
    assert anywhere({"fsdp": True}, backend="cpu", nodes=2) == []
    started_by_torchrun(monkeypatch, 2)
    assert anywhere({"fsdp": True}, backend="cpu") == []


def test_two_ways_of_sharding_at_once(machine: Machine) -> None:
    machine(packages=("deepspeed",))
    (problem,) = anywhere({"fsdp": True, "deepspeed": {"a": 1}}, backend="cuda", processes=2)
    assert problem.what == "is set together with training.fsdp; only one of them can shard " + (
        "the weights"
    )


def test_a_file_of_options_that_is_not_there(machine: Machine, tmp_path: Path) -> None:
    machine(packages=("deepspeed",))
    found = anywhere({"deepspeed": "ds.json", "fsdp_config": "fsdp.json"})
    assert keys(found) == ["training.fsdp_config", "training.deepspeed"]
    assert found[1].what == "there is no file ds.json"
    (tmp_path / "ds.json").write_text("{}")
    assert anywhere({"deepspeed": str(tmp_path / "ds.json")}) == []


# launchers outside


def test_a_sweep_under_torchrun(monkeypatch: pytest.MonkeyPatch) -> None:
    started_by_torchrun(monkeypatch, 4, 2)
    (problem,) = anywhere(in_sweep=True)
    assert problem.what.startswith(
        "this sweep (-m) was started 4 times, by torchrun, accelerate launch"
    )
    command = (
        "python train.py -m hardware.processes=2 hardware.nodes=2 … with your other overrides."
    )
    assert (problem.hint or "").endswith(command)
    (problem,) = anywhere(in_sweep=True, backend="cpu", processes=2, nodes=2)
    assert "python train.py -m … with your other overrides." in (problem.hint or "")
    assert anywhere(in_sweep=False) == []
    # Nor is it told besides that the config and torchrun are of two minds.
    hardware = HardwareConfig(backend="cpu", processes=8)
    assert list(launch_checks.check_hardware(hardware, TrainingConfig(), in_sweep=True)) == []
    started_by_torchrun(monkeypatch, 1)
    assert anywhere(in_sweep=True) == []


def started_by_srun(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """Be one of two tasks of a step on one machine."""
    step = {
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
        "SLURM_NODEID": "0",
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_ID": "0",
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_TASKS_PER_NODE": "2",
    }
    for name, value in step.items():
        monkeypatch.setenv(name, value)


def test_a_sweep_under_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    started_by_srun(monkeypatch, 1)
    (problem,) = anywhere(in_sweep=True)
    assert "was started 2 times" in problem.what


def test_other_processes_than_the_launcher_started(monkeypatch: pytest.MonkeyPatch) -> None:
    started_by_torchrun(monkeypatch, 2)
    assert reported(here(backend="cpu", processes=8)) == [
        (
            "hardware.processes",
            "is 8, but the external launcher has started 2 on this machine",
            "Set hardware.processes=2, or start python train.py without a launcher, which "
            "starts 8.",
        )
    ]
    assert here(backend="cpu", processes=2) == []
    assert here(backend="cpu") == []
    assert keys(here(backend="cpu", nodes=2)) == ["hardware.nodes"]
    started_by_torchrun(monkeypatch, 4, 2)
    assert here(backend="cpu", nodes=2) == []
    assert reported(here(backend="cpu", nodes=3)) == [
        (
            "hardware.nodes",
            "is 3, but the external launcher has started processes on 2",
            "Set hardware.nodes=2.",
        )
    ]


def test_more_processes_than_gpus_by_the_launcher(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_by_torchrun(monkeypatch, 4)
    machine(gpus=2)
    (problem,) = here(backend="cuda")
    assert problem.what == "asks for 4 GPUs, and this machine has 2"
    assert "torchrun --nproc-per-node=2" in (problem.hint or "")
    machine(gpus=4)
    assert here(backend="cuda") == []


def test_srun_may_show_each_task_its_own_gpu(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    started_by_torchrun(monkeypatch, 4)
    machine(gpus=1)
    assert keys(here(backend="cuda")) == ["hardware.processes"]
    monkeypatch.setenv("SLURM_LOCALID", "0")
    assert here(backend="cuda") == []


def test_one_process_is_what_drives_an_apple_gpu_or_a_tpu(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine(apple=True, tpu=True)
    started_by_torchrun(monkeypatch, 2)
    (problem,) = here(backend="xla")
    assert problem.what == "xla supports one process only, and the external launcher has started 2"
    assert problem.hint == "Start python train.py without a launcher."


# several machines


def test_nodes_without_a_rendezvous() -> None:
    (problem,) = here(backend="cpu", nodes=2)
    assert problem.key == "hardware.nodes"
    assert problem.what == "asks for 2 machines, but no rendezvous is given"
    for way in (
        "srun --nodes=2 --ntasks-per-node=1 python train.py",
        "hydra/launcher=slurm",
        "MASTER_ADDR, MASTER_PORT and NODE_RANK",
    ):
        assert way in (problem.hint or "")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("", 0))
        return int(listener.getsockname()[1])


def rendezvous(monkeypatch: pytest.MonkeyPatch, **values: object) -> None:
    given = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port(), "NODE_RANK": 0} | values
    for name, value in given.items():
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, str(value))


def test_a_rendezvous_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    rendezvous(monkeypatch)
    assert here(backend="cpu", nodes=2) == []
    rendezvous(monkeypatch, NODE_RANK=2)
    (problem,) = here(backend="cpu", nodes=2)
    assert problem.what == "NODE_RANK must lie between 0 and 1, not '2'"
    rendezvous(monkeypatch, MASTER_PORT="many", MASTER_ADDR=None)
    assert [problem.what for problem in here(backend="cpu", nodes=2)] == [
        "NODE_RANK is set, but MASTER_ADDR is not",
        "MASTER_PORT must lie between 1 and 65535, not 'many'",
    ]
    # With one node, they are somebody else's.
    assert here(backend="cpu", processes=2) == []


def test_a_port_that_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        rendezvous(monkeypatch, MASTER_PORT=port)
        (problem,) = here(backend="cpu", nodes=2)
        assert f"cannot listen on the rendezvous port {port}: " in problem.what
        assert "Address already in use" in problem.what
        assert "Set MASTER_PORT to a free one" in (problem.hint or "")
        # It is taken on the first machine; another one listens nowhere.
        rendezvous(monkeypatch, MASTER_PORT=port, NODE_RANK=1)
        assert here(backend="cpu", nodes=2) == []


def test_a_port_that_is_taken_where_srun_starts_the_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as other:
        other.bind(("", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        started_by_srun(monkeypatch, 0)
        (problem,) = here(backend="cpu")
        assert f"cannot listen on the rendezvous port {port}: " in problem.what
        started_by_srun(monkeypatch, 1)
        assert here(backend="cpu") == []


def test_nodes_of_srun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        launch_checks, "nodes", lambda _: launch_checks.Nodes(rank=1, count=2, port=1)
    )
    assert here(backend="cpu", nodes=2) == []
    assert reported(here(backend="cpu")) == [
        (
            "hardware.nodes",
            "is 1, but srun has started this on 2 machines",
            "Set hardware.nodes=2.",
        )
    ]


def test_slurm_that_does_not_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_answer(_hardware: HardwareConfig) -> None:
        raise RunError("scontrol does not list the nodes")

    monkeypatch.setattr(launch_checks, "nodes", no_answer)
    assert reported(here(backend="cpu", nodes=2)) == [
        ("hardware.nodes", "scontrol does not list the nodes", None)
    ]


# the whole command line


def rejected(line: str) -> list[str | None]:
    with pytest.raises(ConfigError) as raised:
        check(parse(shlex.split(line)))
    return keys(raised.value.problems)


def test_debug_tiny_needs_the_machine_too() -> None:
    assert rejected("debug=tiny hardware=ddp8_fp16") == ["hardware.processes"]
    assert check(parse(shlex.split("--cfg job debug=tiny hardware=deepspeed8_zero3")))
    assert check(parse(shlex.split("--cfg job hardware=tpu8 hardware.nodes=1")))


def test_a_choice_lists_all_that_it_lacks() -> None:
    assert rejected("hardware=deepspeed8_zero3") == ["training.deepspeed", "hardware.processes"]
    assert rejected("hardware=tpu8") == ["hardware.backend", "hardware.backend"]


def test_a_sweep_under_torchrun_is_reported_once(monkeypatch: pytest.MonkeyPatch) -> None:
    started_by_torchrun(monkeypatch, 2)
    assert rejected("-m debug=tiny seed=1,2,3") == [None]


def test_a_job_on_another_machine_is_checked_there() -> None:
    (job,) = check(parse(["hardware=cpu", "debug=tiny"]))
    config: Config = job.config
    config.hardware = HardwareConfig(backend="cuda", processes=8)
    slurm = SimpleNamespace(launcher={"_target_": LAUNCHER})
    with pytest.raises(ConfigError) as raised:
        check_on_arrival(config.hardware, config.training, slurm)
    assert keys(raised.value.problems) == ["hardware.processes"]
    # This machine was looked at before the sweep began.
    check_on_arrival(
        config.hardware,
        config.training,
        SimpleNamespace(launcher={"_target_": "hydra._internal.Basic"}),
    )


def test_a_sweep_on_slurm_needs_nothing_of_the_machine_that_submits_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    line = "-m hydra/launcher=slurm debug=tiny hardware=ddp8_fp16 hardware.nodes=2"
    assert len(check(parse(shlex.split(line)))) == 1
    # Without -m it would be a run on this machine.
    expected = ["hydra/launcher", "hardware.nodes", "hardware.processes"]
    assert rejected(line.removeprefix("-m ")) == expected
    # The environment is the same one on every machine.
    assert rejected(line.replace("ddp8_fp16", "deepspeed8_zero2")) == ["training.deepspeed"]


def test_accelerate_launch_does_not_steer_past_the_config(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "bf16")
    assert rejected("hardware=cpu") == ["training.bf16"]
    assert check(parse(["hardware=cpu", "training.bf16=true"]))
    monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    assert rejected("hardware=cpu") == ["training.fsdp"]
