"""Checks of weights: finite values, and agreement of files with a model.

Tested in tests/modeling/test_model_builder.py.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import torch
from safetensors import safe_open
from torch import nn
from torch.distributed.tensor import DTensor

from summexp.upstream.transformers import unsaved_weights

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
    """Return a list of some names of weights.

    >>> listed(["a", "b", "c", "d"])
    'a, b, c and 1 more'
    """
    shown = ", ".join(islice(names, _NAMED))
    return f"{shown} and {len(names) - _NAMED} more" if len(names) > _NAMED else shown


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of a model folder: one, or the shards that its index names."""
    index = folder / "model.safetensors.index.json"
    if not index.is_file():
        return [folder / "model.safetensors"]
    shards = json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()
    return [folder / name for name in sorted({*shards})]


def mismatch(model: nn.Module, folder: Path) -> str | None:
    """Return how the weights in a folder differ from those that a model has, or None.

    Only names and shapes are read. A weight that is another's too needs to be there once.

    Args:
        model: the unsharded model.
        folder: holds safetensors files.
    """
    found: dict[str, tuple[int, ...]] = {}
    for path in weight_files(folder):
        with safe_open(path, "numpy") as file:
            found |= {name: tuple(file.get_slice(name).get_shape()) for name in file.keys()}  # noqa: SIM118
    # Weights that are one are one object here.
    named = model.state_dict(keep_vars=True)
    there = {id(named[name]) for name in found if name in named}
    there |= {id(named[name]) for name in unsaved_weights(model) if name in named}
    differences = {
        "missing": [name for name, weight in named.items() if id(weight) not in there],
        "not of this model": [name for name in found if name not in named],
        "of another shape": [
            f"{name} {_shape(shape)} in place of {_shape(named[name].shape)}"
            for name, shape in found.items()
            if name in named and shape != tuple(named[name].shape)
        ],
    }
    listings = [f"{what}: {listed(names)}" for what, names in differences.items() if names]
    return "; ".join(listings) or None


def _shape(shape: Iterable[int]) -> str:
    return "x".join(map(str, shape))
