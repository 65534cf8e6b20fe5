"""Evaluation and generation on the cores of a TPU.

The compiler makes a new program for every shape, so all batches have one shape: a short one is
filled up with rows that count for nothing.

Imports torch_xla, which reads its variables then: `runs.process_environment.prepare` comes first.

Tested in tests/tpu/test_tpu.py.
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Iterator, Mapping
from typing import Any

import torch
import torch_xla
import torch_xla.distributed.spmd as spmd
from transformers import (
    GenerationConfig,
    PreTrainedModel,
)

from summexp.data.collate import IGNORED
from summexp.distributed.xla import ROWS


def shard(batch: Mapping[str, torch.Tensor], rows: int) -> dict[str, torch.Tensor]:
    """Return the batch sharded over the cores by rows.

    Args:
        batch: tensors of (rows, …).
        rows: number of rows to fill up to, by repeating the last one without its labels.
    """
    device = torch_xla.device()
    return {
        name: _by_rows(_filled(name, tensor, rows).to(device)) for name, tensor in batch.items()
    }


def _filled(name: str, tensor: torch.Tensor, rows: int) -> torch.Tensor:
    missing = rows - len(tensor)
    if missing <= 0:
        return tensor
    filler = tensor[-1:].expand(missing, *tensor.shape[1:])
    return torch.cat([tensor, torch.full_like(filler, IGNORED) if name == "labels" else filler])


def _by_rows(tensor: torch.Tensor) -> torch.Tensor:
    rest = (None,) * (tensor.dim() - 1)
    spmd.mark_sharding(tensor, spmd.get_global_mesh(), (ROWS, *rest))
    return tensor


def generate(
    model: PreTrainedModel,
    batch: Mapping[str, torch.Tensor],
    generation: GenerationConfig,
    rows: int,
) -> torch.Tensor:
    """Return (rows of the batch, target tokens) generated token IDs, on the CPU.

    The search runs on the CPU, where tensors may grow with each token, and the model on the cores,
    with a static cache. A few programs then suffice for summaries of any length; with the search on
    the cores, two would be compiled for each token.

    Args:
        model: the model on the cores.
        batch: `input_ids`, `attention_mask` and the like, on the CPU.
        generation: the generation config.
        rows: rows of every batch; a short one is filled up.
    """
    filled = {name: _filled(name, tensor, rows) for name, tensor in batch.items()}
    generation = copy.copy(generation)
    generation.use_cache, generation.cache_implementation = True, "static"
    encoded = model.get_encoder()(**shard(filled, rows), return_dict=True)
    _by_rows(encoded.last_hidden_state)
    torch_xla.sync()
    with _one_program_a_token(model):
        # Which classes can generate is not in the types of transformers.
        theirs: Any = model.generate
        generated = theirs(**filled, encoder_outputs=encoded, generation_config=generation)
    assert isinstance(generated, torch.Tensor)
    return generated[: len(batch["input_ids"])]


@contextlib.contextmanager
def _one_program_a_token(model: PreTrainedModel) -> Iterator[None]:
    """Compile each forward pass of the model as one program."""

    def before(_model: Any, _arguments: Any, named: dict[str, Any]) -> None:
        _by_rows(named["decoder_input_ids"])

    def after(_model: Any, _arguments: Any, outputs: Any) -> None:
        # Gathering the shards on the way to the CPU would be a program that is not cached.
        everywhere = (None,) * outputs.logits.dim()
        spmd.mark_sharding(outputs.logits, spmd.get_global_mesh(), everywhere)
        # Fetching the logits alone would leave the update of the cache to the next program.
        torch_xla.sync()

    hooks = [
        model.register_forward_pre_hook(before, with_kwargs=True),
        model.register_forward_hook(after),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()
