"""Launchers in front of a script and their options, such as those of `torchrun`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

from summexp.errors import ConfigError
from summexp.migrate.accelerate_file import options_of
from summexp.migrate.expansion import ARGUMENTS, reject_unexpanded, with_source
from summexp.migrate.flags import Script
from summexp.migrate.scripts import script_index, script_of
from summexp.migrate.shell import Statement

ALL = 0
"""As many processes as the machine has GPUs."""

_PYTHON = re.compile(r"python[\d.]*(\.exe)?|py|ipython")
_ASSIGNMENT = re.compile(r"[A-Za-z_]\w*=.*", re.ASCII | re.DOTALL)
_LAUNCHERS = {
    "torchrun": "torchrun",
    "torch.distributed.run": "torchrun",
    "torch.distributed.launch": "torchrun",
    "xla_spawn.py": "xla_spawn.py",
    "xla_spawn": "xla_spawn.py",
    "accelerate": "accelerate launch",
    "accelerate.commands.launch": "accelerate launch",
    "accelerate-launch": "accelerate launch",
    "deepspeed": "deepspeed",
}


@dataclass
class Machine:
    """The machine, as the options of the launcher describe it."""

    processes: int | None = None
    """Processes on each node; `ALL` for one on each GPU, None if not given."""
    nodes: int = 1
    """Number of machines."""
    environment: dict[str, str] = field(default_factory=dict)
    """Variables that the new command needs: the rendezvous, the visible GPUs."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Settings from its options, such as `training.bf16`."""
    remarks: list[str] = field(default_factory=list)
    """What was left out or changed, a sentence each."""


@dataclass
class Invocation:
    """A call of one of the old scripts."""

    script: Script
    arguments: list[str]
    """The words behind the script."""
    machine: Machine
    environment: dict[str, str]
    """Variables set in front of the command, or exported before it."""


def read_invocation(statement: Statement) -> Invocation:
    """Read a statement that calls one of the scripts.

    Raises:
        ConfigError: an option of the launcher has a value that no launcher takes, or a needed word
            has a part that only a shell can expand.
    """
    at = script_index(statement.words)
    assert at is not None
    script = script_of(statement.words[at])
    assert script is not None
    arguments = [word for word in statement.words[at + 1 :] if word != ARGUMENTS]
    reject_unexpanded(arguments)
    before = statement.words[:at]
    environment = dict(statement.environment)
    while before and (before[0] in ("env", "time") or _ASSIGNMENT.fullmatch(before[0])):
        name, _, value = before.pop(0).partition("=")
        environment |= {name: value} if value or name not in ("env", "time") else {}
    if script is Script.TRAINER and _is_tensorflow(arguments):
        script = Script.TENSORFLOW
    machine = _machine(before)
    if ARGUMENTS in statement.words:
        machine.remarks.append('"$@": append the arguments of the shell script to the new command')
    return Invocation(script, arguments, machine, environment)


def _is_tensorflow(arguments: list[str]) -> bool:
    """Return whether the words have a flag that only the TensorFlow script took."""
    flags = {word.split("=", 1)[0].lstrip("-").replace("-", "_") for word in arguments}
    return bool(flags & {"tpu", "tpu_name", "tpu_zone", "gcp_project", "xla", "poly_power"})


def _machine(before: list[str]) -> Machine:
    """Read the words in front of the script."""
    starts = [at for at, word in enumerate(before) if _is_start(word)]
    launchers = [at for at in starts if not _PYTHON.fullmatch(PurePath(before[at]).name)]
    first = starts[0] if starts else len(before)
    machine = Machine()
    wrappers = [word for word in before[:first] if not word.startswith("-")]
    if wrappers:
        name = with_source(wrappers[0])
        machine.remarks.append(
            f"{name}: left out; put it in front of python again where it is needed"
        )
    if launchers:
        name = _LAUNCHERS[PurePath(before[launchers[-1]]).name]
        options = _options(before[launchers[-1] + 1 :])
        needed = (value for option, value in options.items() if option not in _PASSED_ON)
        reject_unexpanded(value for value in needed if isinstance(value, str))
        if name == "accelerate launch" and isinstance(options.get("config_file"), str):
            options = _with_file(options, machine)
        _READERS[name](options, machine)
        _rest(name, options, machine)
    return machine


def _is_start(word: str) -> bool:
    name = PurePath(word).name
    return name in _LAUNCHERS or bool(_PYTHON.fullmatch(name))


_PASSED_ON = {
    *("node_rank", "machine_rank", "master_addr", "main_process_ip", "master_port"),
    *("main_process_port", "rdzv_endpoint", "rdzv_id", "rdzv_conf", "num_cpu_threads_per_process"),
}
"""Options that become variables in front of the new command, which a shell may expand."""
_KNOWN = {
    *("nproc_per_node", "nnodes", "rdzv_backend", "standalone", "max_restarts", "num_cores"),
    *("num_processes", "num_machines", "mixed_precision", "multi_gpu", "cpu", "tpu", "use_fsdp"),
    *("use_deepspeed", "config_file", "deepspeed_config_file", "zero_stage", "gpu_ids", "num_gpus"),
    *("num_nodes", "include", "fp16"),
    *_PASSED_ON,
}
"""Options that may be abbreviated."""
_ENDPOINT = re.compile("(.*):([0-9]+|\0[^\0]*\0)", re.DOTALL)


def _options(words: list[str]) -> dict[str, str | bool]:
    """Return the flags among the words of a launcher, underscores for dashes."""
    found: dict[str, str | bool] = {}
    at = 0
    while at < len(words):
        word = words[at]
        at += 1
        if not word.startswith("-"):
            continue
        name, equals, value = word.lstrip("-").partition("=")
        name = name.replace("-", "_")
        near = [known for known in _KNOWN if known.startswith(name)]
        name = near[0] if name not in _KNOWN and len(near) == 1 and len(name) > 3 else name
        if not equals and at < len(words) and not words[at].startswith("-"):
            value, at = words[at], at + 1
        found[name] = value or True
    return found


def _with_file(options: dict[str, str | bool], machine: Machine) -> dict[str, str | bool]:
    name = str(options.pop("config_file"))
    in_file = options_of(name)
    if in_file is None:
        machine.remarks.append(
            f"--config_file {name}: no such file; add the machine that it describes as hardware=…"
        )
        return options
    return {**in_file, **options}


def _torchrun(options: dict[str, str | bool], machine: Machine) -> None:
    count = options.pop("nproc_per_node", "1")
    machine.processes = ALL if count in ("gpu", "auto") else _number("nproc_per_node", count)
    _nodes(options, machine, "nnodes", "node_rank", "master_addr", "master_port")


def _xla_spawn(options: dict[str, str | bool], machine: Machine) -> None:
    machine.settings["hardware"] = "tpu8"
    cores = options.pop("num_cores", "1")
    if cores != "8":
        machine.remarks.append(f"--num_cores {cores}: hardware=tpu8 uses every core")


def _accelerate(options: dict[str, str | bool], machine: Machine) -> None:
    if not set(options) - {"num_cpu_threads_per_process"}:
        machine.remarks.append(
            "accelerate launch: the answers to `accelerate config` are not known; add the machine "
            "as hardware=…, such as hardware=ddp8_bf16"
        )
    settings = machine.settings
    is_sharded = "use_fsdp" in options or "use_deepspeed" in options
    is_multi = options.pop("multi_gpu", False) or is_sharded
    count = options.pop("num_processes", None)
    machine.processes = ALL if is_multi else None
    if count is not None:
        machine.processes = _number("num_processes", count)
    if options.pop("cpu", False):
        settings["hardware"] = "cpu"
    if options.pop("tpu", False):
        settings["hardware"] = "tpu8"
    precision = options.pop("mixed_precision", "no")
    if options.pop("fp16", False):
        precision = "fp16"
    if precision in ("fp16", "bf16"):
        settings[f"training.{precision}"] = True
    elif precision != "no":
        raise _invalid("mixed_precision", precision, "Use no, fp16 or bf16.")
    if options.pop("use_fsdp", False):
        settings["training.fsdp"] = True
    file, stage = options.pop("deepspeed_config_file", None), options.pop("zero_stage", "2")
    if options.pop("use_deepspeed", False):
        if file is None and stage not in ("2", "3"):
            raise _invalid("zero_stage", stage, "Use 2 or 3.")
        if file is None:
            settings["hardware"] = f"deepspeed8_zero{stage}"
        else:
            settings["training.deepspeed"] = file
    if "gpu_ids" in options:
        _visible(str(options.pop("gpu_ids")), machine)
    if "num_cpu_threads_per_process" in options:
        machine.environment["OMP_NUM_THREADS"] = str(options.pop("num_cpu_threads_per_process"))
    names = ("num_machines", "machine_rank", "main_process_ip", "main_process_port")
    _nodes(options, machine, *names)
    if machine.nodes > 1 and machine.processes:
        # Accelerate counts those of all machines together.
        machine.processes //= machine.nodes


def _deepspeed(options: dict[str, str | bool], machine: Machine) -> None:
    machine.processes = ALL
    if "num_gpus" in options:
        machine.processes = _number("num_gpus", options.pop("num_gpus"))
    include = str(options.pop("include", ""))
    if include and "@" not in include:
        devices = include.partition(":")[2]
        machine.processes = devices.count(",") + 1 if devices else ALL
        if devices:
            machine.environment["CUDA_VISIBLE_DEVICES"] = devices
    _nodes(options, machine, "num_nodes", "node_rank", "master_addr", "master_port")


_READERS: dict[str, Callable[[dict[str, str | bool], Machine], None]] = {
    "torchrun": _torchrun,
    "xla_spawn.py": _xla_spawn,
    "accelerate launch": _accelerate,
    "deepspeed": _deepspeed,
}


def _visible(devices: str, machine: Machine) -> None:
    if devices != "all":
        machine.environment["CUDA_VISIBLE_DEVICES"] = devices
        if machine.processes == ALL:
            machine.processes = devices.count(",") + 1


def _nodes(
    options: dict[str, str | bool], machine: Machine, count: str, rank: str, address: str, port: str
) -> None:
    """Read the number of machines and their rendezvous, which a single one does not need."""
    given = str(options.pop(count, "1"))
    least = given.partition(":")[0]
    machine.nodes = _number(count, least)
    if ":" in given and machine.nodes != _number(count, given.partition(":")[2]):
        machine.remarks.append(f"--{count} {given}: elastic training is not supported")
    endpoint = str(options.pop("rdzv_endpoint", ""))
    match = _ENDPOINT.fullmatch(endpoint)
    where, at = match.groups() if match else (endpoint, None)
    found = {
        "NODE_RANK": options.pop(rank, None),
        "MASTER_ADDR": options.pop(address, None) or where or None,
        "MASTER_PORT": options.pop(port, None) or at,
    }
    for name in ("rdzv_backend", "rdzv_id", "rdzv_conf", "standalone"):
        options.pop(name, None)
    if machine.nodes == 1:
        return
    machine.environment |= {name: str(value) for name, value in found.items() if value is not None}
    missing = [name for name, value in found.items() if value is None]
    machine.remarks.append(
        "several machines: the same command on each, "
        + (f"with {', '.join(missing)} set there" if missing else "with its own NODE_RANK")
        + " (docs/hardware.md)"
    )


def _number(name: str, value: str | bool) -> int:
    if isinstance(value, bool) or not re.fullmatch(r"\d+", value) or int(value) < 1:
        raise _invalid(name, value, "Use an integer from 1.")
    return int(value)


def _invalid(name: str, value: Any, hint: str) -> ConfigError:
    return ConfigError.of(what=f"invalid value for --{name}: {value!r}", hint=hint)


def _rest(name: str, options: Mapping[str, str | bool], machine: Machine) -> None:
    """Report the options of the launcher that were left out, without their values."""
    left = [f"--{option}" for option in options if option not in ("m", "u", "")]
    if left:
        machine.remarks.append(f"{', '.join(left)} of {name}: not needed, left out")
