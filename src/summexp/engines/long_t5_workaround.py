"""Weights that a batch leaves out, which ranks have to agree on."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def give_every_weight_a_gradient(model: nn.Module) -> None:
    """Let LongT5 (transformers 5.23) have a gradient of its global attention's bias in any batch.

    Where a batch has no document of `global_block_size` tokens, the bias is not used. A rank with
    such a batch would reduce fewer gradients than the others, which DDP and FSDP do not survive,
    and a process on its own would leave its optimizer state of the bias as it was.
    """
    for module in model.modules():
        if hasattr(module, "global_relative_attention_bias"):
            module.register_forward_hook(_use_bias)


def _use_bias(module: nn.Module, _inputs: Any, output: tuple[torch.Tensor, ...]) -> Any:
    bias = module.get_parameter("global_relative_attention_bias.weight")
    return output[0] + 0.0 * bias.sum(), *output[1:]
