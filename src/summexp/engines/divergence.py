"""Training that has diverged: weights or losses that are not finite end the run."""

from __future__ import annotations

from pathlib import Path

import torch
from transformers import TrainerState

from summexp.distributed.ranks import any_reduce
from summexp.errors import RunError
from summexp.evaluation.divergence import advice, not_finite
from summexp.modeling.weights import listed, non_finite_weights
from summexp.run_folder.checkpoints import checkpoints, has_manifest


def check_weights(model: torch.nn.Module, step: int, folder: Path, *, fp16: bool) -> None:
    """Check that all weights are finite; every rank has to call this.

    Args:
        model: in training, split over the ranks or not.
        step: the optimizer step after which they are looked at.
        folder: the run folder, whose last checkpoint is named.
        fp16: whether training is in fp16, for the advice.

    Raises:
        RunError: a weight holds NaN or infinity, on every rank if on one.
    """
    names = [name.removeprefix("module.") for name in non_finite_weights(model)]
    if not any_reduce(bool(names))[0]:
        return
    which = f" ({listed(names)})" if names else ""
    last = next((one.name for one in checkpoints(folder) if has_manifest(one)), None)
    kept = f"; the last checkpoint with finite weights is {last}" if last else ""
    raise RunError(
        f"the weights are not finite after step {step}{which}, and are not saved{kept}. "
        f"{advice(fp16=fp16)}"
    )


def keep_valid_json(state: TrainerState) -> None:
    """Replace what is not finite in the last entry of the log by None, which JSON has a word for.

    A gradient norm is infinite where fp16's loss scaler leaves a step out.
    """
    entry = state.log_history[-1]
    for name in not_finite(entry):
        entry[name] = None
