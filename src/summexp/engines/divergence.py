"""Training that has diverged: weights or losses that are not finite end the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerState

from summexp.distributed.ranks import any_reduce
from summexp.errors import RunError
from summexp.evaluation.divergence import advice, not_finite
from summexp.modeling.weights import listed, non_finite_weights
from summexp.run_folder.checkpoints import checkpoints, has_manifest


def check_weights(model: torch.nn.Module, step: int, folder: Path, *, fp16: bool) -> None:
    """Check that all weights are finite; call it on every rank.

    Args:
        model: the model in training, sharded or not.
        step: the current optimizer step.
        folder: the run folder, whose last checkpoint is named in the error.
        fp16: whether training is in fp16, for the advice.

    Raises:
        RunError: a weight is NaN or infinite; raised on every rank.
    """
    names = [name.removeprefix("module.") for name in non_finite_weights(model)]
    if not any_reduce(bool(names))[0]:
        return
    which = f" ({listed(names)})" if names else ""
    raise RunError(
        f"the weights are not finite after step {step}{which}, and are not saved"
        f"{last_finite(folder)}. {advice(fp16=fp16)}"
    )


def last_finite(folder: Path) -> str:
    """Return the part of a message that names the last checkpoint of a run folder, if any.

    None is saved with weights that are not finite.
    """
    last = next((one.name for one in checkpoints(folder) if has_manifest(one)), None)
    return f"; the last checkpoint with finite weights is {last}" if last else ""


def keep_valid_json(state: TrainerState) -> None:
    """Replace non-finite values in the last entry of the log history by None, for valid JSON.

    A gradient norm is infinite if fp16's loss scaler skips the step.
    """
    entry: dict[str, Any] = state.log_history[-1]
    for name in not_finite(entry):
        entry[name] = None
