"""Optimizer of `training.optim`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from transformers import Seq2SeqTrainingArguments, Trainer


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
