"""The file of `conf/hardware` for the options of the launcher and the flags.

Tested in tests/migrate/test_launchers.py.
"""

from __future__ import annotations

from typing import Any

from summexp.migrate.launchers import ALL, Machine

_ASSUMED = 8
"""GPUs of a machine if their number was left to the launcher."""


def hardware_settings(machine: Machine, settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of the machine; `hardware` names the file that sets most of them.

    Args:
        machine: the machine as the launcher describes it.
        settings: those of launcher and flags; `hardware` is the backend that they name.
    """
    asked, count = settings.get("hardware"), machine.processes
    if asked == "tpu8":
        return {"hardware": asked}
    if count == ALL:
        count = _ASSUMED
        machine.remarks.append(
            f"a process for each GPU: assuming {count}; set hardware.processes=N for another number"
        )
    several = (count or 1) > 1 or machine.nodes > 1
    if not several:
        # No file for several processes fits a single one.
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
    """Return whether bf16 is on, if the file sets it."""
    by_file = asked is not None and asked.startswith("deepspeed")
    return {"training.bf16": bool(settings.get("training.bf16"))} if by_file else {}
