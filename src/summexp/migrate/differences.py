"""Behaviour that differs from the old scripts without a flag, and the key that restores it.

Tested in tests/migrate/test_guide.py.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from summexp.migrate.flags import Script

_TRAINERS = (Script.TRAINER, Script.TENSORFLOW)
_DIFFERENCES = (
    ("evaluates once an epoch", "training.eval_strategy=no", (Script.TRAINER,)),
    ("saves once an epoch", "training.save_strategy=steps", (Script.TRAINER,)),
    ("saves once an epoch", "training.save_strategy=no", (Script.NO_TRAINER, Script.TENSORFLOW)),
    ("keeps two checkpoints", "training.save_total_limit=null", (Script.TRAINER,)),
    ("logs every 10 steps", "training.logging_steps=500", _TRAINERS),
    ("groups rows by length", "engine.sampler=upstream", _TRAINERS),
    ("averages the loss over tokens", "engine.loss=upstream", _TRAINERS),
    ("searches with the model's own beams", "generation.num_beams=1", _TRAINERS),
    (
        "writes as long summaries as the model's config has it",
        "data.val_max_target_length=${data.max_target_length}",
        _TRAINERS,
    ),
    ("cuts large gradients", "training.max_grad_norm=0", (Script.NO_TRAINER,)),
    ("has a fixed seed", "seed=42", (Script.NO_TRAINER,)),
)
"""What is done here, the key for the old behaviour, and the scripts concerned."""


def differences(script: Script, settings: Mapping[str, Any], written: Collection[str]) -> list[str]:
    """Return one remark on all differences that concern a command, or none.

    Args:
        script: the old script.
        settings: the settings of its command.
        written: the keys and groups that the new command sets.
    """
    differing = [
        f"{ours} ({theirs})"
        for ours, theirs, scripts in _DIFFERENCES
        if script in scripts
        and theirs.partition("=")[0] not in (*settings, *written)
        and (script is Script.NO_TRAINER or _concerns(theirs, settings))
    ]
    if not differing:
        return []
    return [f"differs from the old script: {', '.join(differing)}"]


def _concerns(theirs: str, settings: Mapping[str, Any]) -> bool:
    """Return whether a command does anything that a difference affects."""
    trains = bool(settings["training.do_train"])
    if theirs.startswith(("generation.", "data.")):
        return bool(settings.get("training.predict_with_generate"))
    if theirs.startswith("training.eval"):
        return trains and bool(settings["training.do_eval"])
    return trains
