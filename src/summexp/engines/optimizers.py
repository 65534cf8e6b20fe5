"""The optimizer that `training.optim` names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel, Seq2SeqTrainingArguments, Trainer
from transformers.trainer_pt_utils import get_parameter_names

_UNDECAYED = (r"bias", r"layernorm", r"rmsnorm", r"(?:^|\.)norm(?:$|\.)", r"_norm(?:$|\.)")
"""Names of the weights that decay leaves alone, as the Trainer (5.23) has them."""


def decayed_weights(model: PreTrainedModel) -> set[str]:
    """Return the names of the weights that weight decay pulls to 0: all but biases and norms."""
    return set(get_parameter_names(model, [torch.nn.LayerNorm], list(_UNDECAYED)))


def build_optimizer(
    args: Seq2SeqTrainingArguments, groups: Sequence[dict[str, Any]]
) -> torch.optim.Optimizer:
    """Return the optimizer of `args` over groups of weights.

    Args:
        args: name it, its learning rate and its options.
        groups: each with its weights, `params`, and whatever is to differ from `args`, such as
            `weight_decay` or `lr`.
    """
    # Upstream's list of optimizers is a method of its Trainer.
    kind, options = Trainer.get_optimizer_cls_and_kwargs(args)
    optimizer: torch.optim.Optimizer = kind(list(groups), **options)
    return optimizer
