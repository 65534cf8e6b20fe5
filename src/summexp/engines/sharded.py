"""Models whose weights training splits over the processes: FSDP, and DeepSpeed's ZeRO.

Evaluation, generation and saving work on a whole copy. To generate on the shards would need every
rank to make every step of every batch with the others, and gather the whole model for each token.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from accelerate.utils import DistributedType
from torch import nn
from torch.distributed.tensor import DTensor
from transformers import PreTrainedModel

if TYPE_CHECKING:
    from transformers import Seq2SeqTrainingArguments


class WholeModel:
    """The model as it was before training split it; of one that is split, all but its weights."""

    def __init__(self, model: PreTrainedModel, *, is_split: bool) -> None:
        """Remember `model`, which is whole yet."""
        self.is_split = is_split
        hollow = {
            id(weight): nn.Parameter(torch.empty_like(weight, device="meta"), weight.requires_grad)
            for weight in model.parameters()
        }
        # Weights that are one stay one: a deep copy meets each object once.
        self._model: PreTrainedModel = copy.deepcopy(model, hollow) if is_split else model

    def copy(self, split: nn.Module, device: torch.device | None = None) -> PreTrainedModel:
        """Return the model with the weights of `split`; every rank has to call it.

        Args:
            split: the model in training, as it was prepared for it.
            device: where the copy goes; one that is not split is no copy, and stays where it is.
        """
        if not self.is_split:
            return self._model
        filled = {}
        for name, weight in self._model.named_parameters():
            whole = _whole(split.get_parameter(name)).to(device, weight.dtype)
            filled[id(weight)] = nn.Parameter(whole, weight.requires_grad)
        model: PreTrainedModel = copy.deepcopy(self._model, filled)
        return model.to(device).train(split.training)


@torch.no_grad()
def _whole(weight: nn.Parameter) -> torch.Tensor:
    """Return all of a weight of which each rank has a part."""
    if isinstance(weight, DTensor):
        return weight.full_tensor()
    from deepspeed import zero
    from deepspeed.utils import safe_get_full_fp32_param

    # With 16 bits, the optimizer has the weights of which the model's are a rounding.
    exact: torch.Tensor | None = safe_get_full_fp32_param(weight)
    if exact is not None:
        return exact
    with zero.GatheredParameters([weight]):
        return weight.detach().clone()


def use_deepspeed() -> None:
    """Keep away what DeepSpeed (0.19) makes PyTorch warn of at each of its calls."""
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)


def use_fsdp(args: Seq2SeqTrainingArguments) -> None:
    """Let Accelerate (1.15) shard on CPUs too, where it trains with DDP without a word."""
    if args.distributed_state.distributed_type is DistributedType.MULTI_CPU:
        args.distributed_state.distributed_type = DistributedType.MULTI_GPU
    # A checkpoint has the whole model beside the shards; from one file for all, Accelerate does
    # not restore an optimizer of tied weights.
    shards = "FULL_STATE_DICT" if args.save_only_model else "SHARDED_STATE_DICT"
    args.fsdp_plugin_args["state_dict_type"] = shards


def prepare_for_fsdp(model: PreTrainedModel, plugin: Any) -> None:
    """Prepare a model, and the plugin that configures its sharding, for Accelerate's FSDP."""
    # PyTorch (2.13) refuses a weight that belongs to modules of several groups, as the embedding
    # of encoder, decoder and model does (transformers 5.23) unless they are one module.
    model.set_input_embeddings(model.get_input_embeddings())
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = sorted(set(_layers(model)))
    # PyTorch warns of what would be written into a layer's output; the models here do not.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module .* returned a view tensor")
    # Weights and gradients stay float32 and the forward pass is in autocast, as it is under DDP;
    # upstream rounds all to 16 bits.
    plugin.mixed_precision_policy = None


def _layers(model: PreTrainedModel) -> Iterator[str]:
    """Yield the class of each layer of encoder and decoder; not every model names them."""
    for stack in (model.get_encoder(), model.get_decoder()):
        for part in stack.children():
            if isinstance(part, nn.ModuleList):
                yield from (type(layer).__name__ for layer in part)
