"""Position embeddings: checks and extension for the maximum lengths."""

from __future__ import annotations

import logging
from typing import Any

import torch
from torch import nn
from transformers import PreTrainedConfig, PreTrainedModel

from summexp.errors import ConfigError
from summexp.modeling.architecture import parts_of

log = logging.getLogger(__name__)

_PADDED_TO = 8
"""Batches in half precision are padded to a multiple of so many tokens."""

_KEYS = {"encoder": "data.max_source_length", "decoder": "data.max_target_length"}


def fit_positions(
    model: PreTrainedModel, longest_source: int, longest_target: int, resize: bool | None
) -> None:
    """Extend the position embeddings of `model` where a document or summary is longer.

    Learned positions are continued by repeating the trained ones, as LED's authors did with BART's
    (Beltagy et al. 2020, arXiv:2004.05150); computed (sinusoidal) positions are computed further.
    Models with relative positions need nothing.

    Args:
        model: changed in place, its config too.
        longest_source: tokens of the longest document.
        longest_target: tokens of the longest summary.
        resize: `model.resize_position_embeddings`: true extends, false stops, None extends
            and warns.

    Raises:
        ConfigError: they are too few, and `resize` is false or the model cannot be extended.
    """
    longest = {"encoder": longest_source, "decoder": longest_target}
    for side, tokens in longest.items():
        shape = _side(model.config, side)
        name = _limit_name(shape, side)
        if name is None:
            continue
        have = int(getattr(shape, name)) - _kept_free(model, side)
        if _padded(shape, side, tokens) <= have:
            continue
        if resize is False:
            raise ConfigError.of(
                key=_KEYS[side],
                what=f"lets up to {tokens} tokens in, and the model has {have} positions",
                hint=f"Set it to {have}, or model.resize_position_embeddings=true.",
            )
        need = -(-_padded(shape, side, tokens) // _PADDED_TO) * _PADDED_TO
        _extend(model, side, name, need)
        if resize is None:
            log.warning("extending the model's %d position embeddings to %d", have, need)


def check_positions(shape: PreTrainedConfig, longest_source: int, longest_target: int) -> None:
    """Check that a decoder-only model has positions enough for a prompt and its summary.

    Raises:
        ConfigError: it has not; what it has never seen in training cannot be added to it.
    """
    name = _limit_name(shape, "decoder")
    have = int(getattr(shape, name)) if name is not None else None
    if have is None or longest_source + longest_target <= have:
        return
    left = have - longest_target
    raise ConfigError.of(
        key="data.max_source_length",
        what=f"lets up to {longest_source} tokens in, which are {longest_source} + "
        f"{longest_target} = {longest_source + longest_target} with the longest summary, and "
        f"the model has {have} positions for both",
        hint=f"Set it to {left}, or allow shorter summaries (data.max_target_length, "
        "data.val_max_target_length, generation.max_new_tokens)."
        if left > 0
        else f"Allow summaries of less than {have} tokens: data.max_target_length, "
        "data.val_max_target_length, generation.max_new_tokens.",
    )


def _side(config: PreTrainedConfig, side: str) -> PreTrainedConfig:
    """Return the config of a side, which is the model's own but for those of two configs."""
    part = parts_of(config).get(side)
    if part is None:
        return config
    return parts_of(part).get("text_config", part)


def _bert_like(model: PreTrainedModel, side: str) -> list[tuple[nn.Module, nn.Embedding]]:
    """Return the modules of a side with positions as BERT and its kin have them, and these."""
    modules = getattr(model, side, nn.Module()).modules()
    tables = ((module, getattr(module, "position_embeddings", None)) for module in modules)
    return [(module, table) for module, table in tables if isinstance(table, nn.Embedding)]


def _kept_free(model: PreTrainedModel, side: str) -> int:
    """Return the rows before the first position, which RoBERTa counts among its positions."""
    paddings = [table.padding_idx for _, table in _bert_like(model, side)]
    return max((padding + 1 for padding in paddings if padding is not None), default=0)


def _limit_name(config: PreTrainedConfig, side: str) -> str | None:
    """Return the config field of the number of positions of a side, or None for no limit."""
    names = (f"max_{side}_position_embeddings", "max_position_embeddings")
    return next((name for name in names if getattr(config, name, None) is not None), None)


def _padded(config: PreTrainedConfig, side: str, tokens: int) -> int:
    """Return the positions that `tokens` take: LED pads documents to whole attention windows."""
    window = getattr(config, "attention_window", None)
    if side == "decoder" or window is None:
        return tokens
    widest = max(window) if isinstance(window, list) else window
    return -(-tokens // int(widest)) * int(widest)


def _extend(model: PreTrainedModel, side: str, name: str, need: int) -> None:
    if modules := _bert_like(model, side):
        free = _kept_free(model, side)
        for module, table in modules:
            _extend_bert_like(module, table, need, free)
        setattr(_side(model.config, side), name, need + free)
        return
    sides = [side] if name.startswith(f"max_{side}") else list(_KEYS)
    tables: list[Any] = [
        getattr(getattr(model.base_model, one, None), "embed_positions", None) for one in sides
    ]
    if type(model).resize_position_embeddings is not PreTrainedModel.resize_position_embeddings:
        model.resize_position_embeddings(need)
    elif all(isinstance(table, nn.Embedding) and table.weight.requires_grad for table in tables):
        for table in tables:
            offset = getattr(table, "offset", 0)
            table.weight = nn.Parameter(_repeated(table.weight.data, need, offset))
            table.num_embeddings = table.weight.shape[0]
    elif not all(hasattr(table, "make_weights") for table in tables):
        # M2M100 makes further weights by itself; of the others no way is known.
        raise ConfigError.of(
            key=_KEYS[side],
            what=f"needs {need} positions, and {model.config.model_type} cannot be extended",
            hint=f"Set it to at most {getattr(_side(model.config, side), name)}.",
        )
    setattr(model.config, name, need)


def _extend_bert_like(module: nn.Module, table: nn.Embedding, need: int, free: int) -> None:
    table.weight = nn.Parameter(_repeated(table.weight.data, need, free))
    table.num_embeddings = need + free
    for name in ("position_ids", "token_type_ids"):
        if isinstance(ids := getattr(module, name, None), torch.Tensor):
            numbers = torch.arange(need + free, device=ids.device).unsqueeze(0)
            setattr(module, name, numbers if name == "position_ids" else torch.zeros_like(numbers))


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
