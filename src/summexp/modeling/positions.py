"""Position embeddings: enough of them for the longest document and summary."""

from __future__ import annotations

import logging

import torch
from torch import nn
from transformers import PreTrainedModel

from summexp.errors import ConfigError, Problem

log = logging.getLogger(__name__)


def fit_positions(
    model: PreTrainedModel, longest_source: int, longest_target: int, resize: bool | None
) -> None:
    """Extend the position embeddings of `model` where a document or summary is longer.

    Learned positions are continued by repeating the trained ones, as LED's authors did with BART's;
    computed (sinusoidal) positions are computed further. Models with relative positions need nothing.

    Args:
        model: changed in place, its config too.
        longest_source: tokens of the longest document.
        longest_target: tokens of the longest summary.
        resize: `model.resize_position_embeddings`: true extends, false stops, None extends and warns.

    Raises:
        ConfigError: they are too few, and `resize` is false or this architecture cannot be extended.
    """
    wanted = {"encoder": longest_source, "decoder": longest_target}
    names = {
        side: name
        for side in wanted
        for name in (f"max_{side}_position_embeddings", "max_position_embeddings")
        if getattr(model.config, name, None) is not None
    }
    for side, name in names.items():
        have = int(getattr(model.config, name))
        # A config with one number for both sides takes the larger need.
        need = wanted[side] if name.startswith(f"max_{side}") else max(wanted.values())
        if need <= have:
            continue
        key = "data.max_source_length" if side == "encoder" else "data.max_target_length"
        if resize is False:
            what = f"is {need}, and the model has {have} positions"
            hint = f"Set it to {have}, or model.resize_position_embeddings=true to extend them."
            raise ConfigError(Problem(key=key, what=what, hint=hint))
        if resize is None:
            log.warning("the model's %d position embeddings are extended to %d", have, need)
        _extend(model, name, need)


def _extend(model: PreTrainedModel, name: str, need: int) -> None:
    if model.config.model_type.startswith("pegasus"):
        model.resize_position_embeddings(need)
        return
    sides = [name.split("_")[1]] if name != "max_position_embeddings" else ["encoder", "decoder"]
    for side in sides:
        module = model.get_submodule(f"model.{side}") if hasattr(model, "model") else None
        old = getattr(module, "embed_positions", None)
        if not isinstance(old, nn.Embedding) or not old.weight.requires_grad:
            raise ConfigError(
                Problem(
                    key="data.max_source_length",
                    what=f"needs {need} positions, and {model.config.model_type} cannot be extended",
                    hint=f"Set it to at most {getattr(model.config, name)}.",
                )
            )
        old.weight = nn.Parameter(_repeated(old.weight.data, need, getattr(old, "offset", 0)))
        old.num_embeddings = old.weight.shape[0]
    setattr(model.config, name, need)


def _repeated(weight: torch.Tensor, need: int, offset: int) -> torch.Tensor:
    """Return `need` + `offset` rows: the first `offset` as they are, the others over and over.

    Args:
        weight: (offset + positions, width).
        need: positions wanted.
        offset: rows before the first position, which BART keeps free.
    """
    positions = weight[offset:]
    rows = torch.arange(need, device=weight.device) % positions.shape[0]
    return torch.cat([weight[:offset], positions[rows]])
