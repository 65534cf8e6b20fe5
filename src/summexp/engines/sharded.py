"""Models sharded over the ranks: FSDP, and DeepSpeed's ZeRO.

Evaluation, generation and saving use a full (unsharded) copy of the model. Generation on shards
would need all ranks to process every batch together, and to gather the model for each token.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

from summexp.upstream.accelerate import allow_fsdp_on_cpus, configure_fsdp
from summexp.upstream.transformers import set_fsdp_state_dict, to_device

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import Seq2SeqTrainingArguments


class FullModel:
    """The unsharded model; without its weights while training shards them."""

    def __init__(self, model: PreTrainedModel, *, is_split: bool) -> None:
        """Store the structure of `model`, which is not sharded yet."""
        self.is_split = is_split
        hollow = {
            id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), weight.requires_grad)
            for weight in model.parameters()
        }
        # Tied weights stay tied: a deep copy copies each object once.
        self._model: PreTrainedModel = copy.deepcopy(model, hollow) if is_split else model

    def copy(self, split: nn.Module, device: torch.device | None = None) -> PreTrainedModel:
        """Return the model with the weights of `split`; call it on every rank.

        Args:
            split: the model in training, as prepared by Accelerate.
            device: device of the copy; an unsharded model is returned itself and is not moved.
        """
        if not self.is_split:
            return self._model
        filled = {}
        for name, weight in self._model.named_parameters():
            full = _full_tensor(split.get_parameter(name)).to(device, weight.dtype)
            filled[id(weight)] = nn.Parameter(full, weight.requires_grad)
        model = to_device(copy.deepcopy(self._model, filled), device)
        model.train(split.training)
        return model


@torch.no_grad()
def _full_tensor(weight: nn.Parameter) -> torch.Tensor:
    """Return the full tensor of a sharded weight."""
    if isinstance(weight, DTensor):
        return weight.full_tensor()
    from deepspeed import zero
    from deepspeed.utils import safe_get_full_fp32_param

    # In 16-bit training, the optimizer holds the weights in 32 bits.
    exact: torch.Tensor | None = safe_get_full_fp32_param(weight)
    if exact is not None:
        return exact
    with zero.GatheredParameters([weight]):
        return weight.detach().clone()


def use_fsdp(args: Seq2SeqTrainingArguments) -> None:
    """Let Accelerate shard, also on CPUs; call it before an accelerator is created."""
    allow_fsdp_on_cpus()
    # A checkpoint has the full model beside the shards. From a full optimizer state, Accelerate
    # does not restore an optimizer of tied weights.
    set_fsdp_state_dict(args, "FULL_STATE_DICT" if args.save_only_model else "SHARDED_STATE_DICT")


def prepare_for_fsdp(model: PreTrainedModel, accelerator: Accelerator) -> None:
    """Prepare a model and its accelerator for FSDP."""
    # PyTorch (2.13) rejects a weight shared by modules of several groups. The embeddings of
    # encoder, decoder and model (transformers 5.23) must therefore be one module.
    model.set_input_embeddings(model.get_input_embeddings())
    configure_fsdp(accelerator, sorted(set(_layers(model))))
    # PyTorch warns of in-place writes to a layer's output, which these models do not do.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")


def _layers(model: PreTrainedModel) -> Iterator[str]:
    """Yield the class name of each layer of encoder and decoder; some models do not list them."""
    for stack in (model.get_encoder(), model.get_decoder()):
        for part in stack.children():
            if isinstance(part, nn.ModuleList):
                yield from (type(layer).__name__ for layer in part)
