"""The file of `conf/hardware` for what the launcher and the flags said of the machine."""

from __future__ import annotations

from typing import Any

from summexp.migrate.launchers import ALL, Machine

_ASSUMED = 8
"""GPUs of a machine whose number was left to the launcher."""


def hardware_settings(machine: Machine, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the machine, `hardware` naming the file that says the most of them.

    Args:
        machine: what the launcher said.
        settings: what it and the flags mean; `hardware` in it is a backend that was asked for.
    """
    asked, count = settings.get("hardware"), machine.processes
    if asked == "tpu8":
        return {"hardware": asked}
    if count == ALL:
        count = _ASSUMED
        machine.remarks.append(
            f"a process for each GPU: {count} are assumed; hardware.processes=N says how many"
        )
    several = (count or 1) > 1 or machine.nodes > 1
    if not several:
        # A choice of eight processes fits no single one, whatever else it says.
        return {"hardware": asked} if asked in ("cpu", "mps") else {}
    found: dict[str, Any] = {"hardware.processes": count or 1}
    if machine.nodes > 1:
        found["hardware.nodes"] = machine.nodes
    return {"hardware": _file(asked, settings), **_bf16(asked, settings), **found}


def _file(asked: str | None, settings: dict[str, Any]) -> str:
    if asked == "cpu":
        return "ddp2_cpu"
    if asked is not None and asked.startswith("deepspeed"):
        return asked
    if settings.get("training.bf16"):
        return "fsdp8_bf16" if settings.get("training.fsdp") is True else "ddp8_bf16"
    return "ddp8_fp16" if settings.get("training.fp16") else "gpu"


def _bf16(asked: str | None, settings: dict[str, Any]) -> dict[str, Any]:
    """Return that bf16 is off, where the file would switch on what nobody asked for."""
    by_file = asked is not None and asked.startswith("deepspeed")
    return {"training.bf16": bool(settings.get("training.bf16"))} if by_file else {}
