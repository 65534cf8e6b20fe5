"""Optimizer of `training.optim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, Seq2SeqTrainingArguments, Trainer
from transformers.trainer_pt_utils import get_parameter_names

_UNDECAYED = (r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)")
"""Names of weights without weight decay, as in the Trainer (5.23)."""


def decayed_weights(model: PreTrainedModel) -> set[str]:
    """Return the names of the weights with weight decay: all but biases and norms."""
    return set(get_parameter_names(model, [torch.nn.LayerNorm], list(_UNDECAYED)))


def build_optimizer(
    args: Seq2SeqTrainingArguments, groups: Sequence[dict[str, Any]]
) -> torch.optim.Optimizer:
    """Return the optimizer of `args` over parameter groups.

    Args:
        args: name of the optimizer, learning rate and options.
        groups: parameter groups: `params`, and options that override `args`, such as
            `weight_decay` or `lr`.
    """
    # Upstream's list of optimizers is a method of its Trainer.
    kind, options = Trainer.get_optimizer_cls_and_kwargs(args)
    optimizer: torch.optim.Optimizer = kind(list(groups), **options)
    return optimizer
