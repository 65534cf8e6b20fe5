"""Workaround for LongT5: a gradient for a bias that some batches do not use."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def give_every_weight_a_gradient(model: nn.Module) -> None:
    """Give the global attention bias of LongT5 (transformers 5.23) a gradient in every batch.

    A batch without a document of `global_block_size` tokens does not use the bias. A rank with such
    a batch would reduce fewer gradients than the others, which makes DDP and FSDP hang or fail. In
    a single process, the optimizer would not update its state of the bias.
    """
    for module in model.modules():
        if hasattr(module, "global_relative_attention_bias"):
            module.register_forward_hook(_use_bias)


def _use_bias(module: nn.Module, _inputs: Any, output: tuple[torch.Tensor, ...]) -> Any:
    bias = module.get_parameter("global_relative_attention_bias.weight")
    return output[0] + 0.0 * bias.sum(), *output[1:]
