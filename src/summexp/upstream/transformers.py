"""Private and unstable names of transformers, read in 5.23; of its Trainer, see the next module.

What the Trainer needs is imported inside the functions, since not every run trains.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import torch
from torch import nn
from transformers.models.auto.modeling_auto import (
    MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
    MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES,
)
from transformers.pytorch_utils import Conv1D

if TYPE_CHECKING:
    from transformers import (
        GenerationConfig,
        PreTrainedModel,
        PreTrainedTokenizerBase,
        TrainerCallback,
        TrainingArguments,
    )

# The public mappings have config classes as keys, and would import the module of each.
ENCODER_DECODERS = frozenset(MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES)
"""`model_type` of each encoder-decoder architecture."""
DECODER_ONLY = (
    frozenset(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)
    # BERT and its kin can be taken for decoders, and BART without its encoder.
    - frozenset(MODEL_FOR_MASKED_LM_MAPPING_NAMES)
    - ENCODER_DECODERS
)
"""`model_type` of each decoder-only architecture."""

TransposedLinear = Conv1D
"""The linear layer of GPT-2, which keeps its weight the other way round; it has no public name."""


def align_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    """Give the configs of `model` the special tokens of `tokenizer`.

    The Trainer does so before it trains. A run that only evaluates needs the same.
    """
    from transformers.trainer_utils import align_special_tokens

    align_special_tokens(model, tokenizer)


def unsaved_weights(model: nn.Module) -> frozenset[str]:
    """Return the names of the weights that no file holds: Marian computes its positions."""
    return frozenset(getattr(model, "_keys_to_ignore_on_save", None) or ())


@contextmanager
def saving_names_of_memory(model: PreTrainedModel) -> Iterator[None]:
    """Let `model.save_pretrained` write each weight under the name and in the shape of memory.

    Where a family changed its names (T5Gemma2), upstream (5.23) writes the old ones, which only
    `from_pretrained` translates. The option `save_original_format` has no way through the Trainer.
    """
    name = "_weight_conversions"
    own = getattr(model, name, None)
    setattr(model, name, [])
    try:
        yield
    finally:
        setattr(model, name, own)


def language_ids(tokenizer: PreTrainedTokenizerBase) -> Mapping[str, int]:
    """Return the token ID of each language of a multilingual tokenizer that lists them, else {}."""
    return getattr(tokenizer, "lang_code_to_id", None) or {}


def language_marks(tokenizer: PreTrainedTokenizerBase) -> Mapping[str, int]:
    """Return the token ID of each language's mark (`__en__`) of M2M100's tokenizer, else {}.

    The tokenizer does not list them as special tokens, although it means to.
    """
    return getattr(tokenizer, "lang_token_to_id", None) or {}


def detach_from_model_config(config: GenerationConfig) -> None:
    """Mark a generation config as one of its own.

    Otherwise it counts as derived from the model's config, and is derived anew.
    """
    config._from_model_config = False


def silence_mask_warning() -> None:
    """Drop the warning of a missing attention mask.

    `generate` drops a mask of ones, and GPT-2 then warns as soon as one summary of the batch has
    ended.
    """
    logging.getLogger("transformers.modeling_utils").addFilter(_is_not_mask_warning)


def _is_not_mask_warning(record: logging.LogRecord) -> bool:
    return "passing in an `attention_mask`" not in record.getMessage()


def use_one_gpu(args: TrainingArguments) -> None:
    """Let a process drive one GPU, where it would wrap the model in DataParallel.

    The public way is to hide the other GPUs, too late once torch has counted them.
    """
    if args.n_gpu > 1:
        args._n_gpu = 1


def set_fsdp_state_dict(
    args: TrainingArguments, kind: Literal["FULL_STATE_DICT", "SHARDED_STATE_DICT"]
) -> None:
    """Set how FSDP saves.

    `fsdp_config` takes it too, but is read when the arguments are created.
    """
    args.fsdp_plugin_args["state_dict_type"] = kind


def fsdp_options(args: TrainingArguments) -> dict[str, Any]:
    """Return the options of accelerate's FSDP plugin that `fsdp` and `fsdp_config` stand for."""
    return dict(args.fsdp_plugin_args)


def run_folder(args: TrainingArguments) -> Path:
    """Return the folder of a training, which upstream lets be None."""
    assert args.output_dir is not None
    return Path(args.output_dir)


def to_device(model: PreTrainedModel, device: torch.device | str | None) -> PreTrainedModel:
    """Move a model; the decorator of `PreTrainedModel.to` hides from mypy that it is a method."""
    return cast("PreTrainedModel", cast("nn.Module", model).to(device))


def deepspeed_config(args: TrainingArguments) -> dict[str, Any]:
    """Return the DeepSpeed config of `deepspeed`, as it will be used; it may be modified."""
    assert args.deepspeed_plugin is not None
    config: dict[str, Any] = args.deepspeed_plugin.hf_ds_config.config
    return config


def deepspeed_plugin(args: TrainingArguments, model: PreTrainedModel) -> Any:
    """Return accelerate's DeepSpeed plugin of `deepspeed`, with each `auto` filled in.

    accelerate knows only some of the values itself; of the Trainer, no public function fills them.
    """
    plugin = args.deepspeed_plugin
    assert plugin is not None
    plugin.hf_ds_config.trainer_config_finalize(args, model, args.max_steps)
    return plugin


def tracker_callbacks(names: Iterable[str]) -> list[TrainerCallback]:
    """Return the callbacks of the experiment trackers `names`, as the Trainer has them."""
    from transformers.integrations.integration_utils import get_reporting_integration_callbacks

    return [kind() for kind in get_reporting_integration_callbacks(list(names))]


def decayed_weights(model: nn.Module) -> set[str]:
    """Return the names of the weights with weight decay in the Trainer: all but biases and norms.

    The method is public, and does not use the Trainer that it is called on.
    """
    from transformers import Trainer

    return set(Trainer.get_decay_parameter_names(cast(Any, None), model))


def speed_metrics(started: float, rows: float, steps: int) -> dict[str, float]:
    """Return `train_runtime`, `train_samples_per_second` and so on, as the Trainer logs them.

    Args:
        started: `time.time()` at the start of the training.
        rows: rows of all steps.
        steps: steps since the start.
    """
    from transformers.trainer_utils import speed_metrics

    return dict(speed_metrics("train", started, rows, steps))


def allow_random_state() -> AbstractContextManager[None]:
    """Let `torch.load(weights_only=True)` read a state of numpy's random numbers.

    A checkpoint of the Trainer has one. The types to allow are private names of numpy.
    """
    from transformers.trainer_pt_utils import safe_globals

    return cast("AbstractContextManager[None]", safe_globals())
