"""The weights of a model: whether they are numbers, and whether a file holds exactly these."""

from __future__ import annotations

from itertools import islice

import torch
from torch import nn
from torch.distributed.tensor import DTensor

_NAMED = 3
"""Weights that a message names."""


def non_finite_weights(model: nn.Module) -> list[str]:
    """Return the names of the weights that hold NaN or infinity.

    Of a model that is split over processes, only the part of this process is looked at.
    """
    named = [(name, _local(weight)) for name, weight in model.named_parameters()]
    # Numbers of one byte are quantized, and always finite.
    named = [
        (name, weight)
        for name, weight in named
        if weight.numel() and weight.is_floating_point() and weight.element_size() > 1
    ]
    if not named:
        return []
    # Minimum and maximum need no second tensor of the weight's size, and NaN is both.
    ends = (torch.stack(torch.aminmax(weight)) for _, weight in named)
    flags = torch.stack([end.isfinite().all() for end in ends]).tolist()
    return [name for (name, _), is_finite in zip(named, flags, strict=True) if not is_finite]


@torch.no_grad()
def _local(weight: torch.Tensor) -> torch.Tensor:
    """Return what this process holds of a weight that FSDP or DeepSpeed may have split."""
    weight = weight.detach()
    local: torch.Tensor = weight.to_local() if isinstance(weight, DTensor) else weight
    return getattr(weight, "ds_tensor", local)


def listed(names: list[str]) -> str:
    """Return some names of weights in words.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    shown = ", ".join(islice(names, _NAMED))
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown
