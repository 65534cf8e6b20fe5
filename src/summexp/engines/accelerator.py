"""Accelerate's `Accelerator`, and a model made ready for it, as `training.*` asks."""

from __future__ import annotations

from typing import Any

from accelerate import Accelerator
from accelerate.utils import (
    DataLoaderConfiguration,
    DeepSpeedPlugin,
    DistributedDataParallelKwargs,
    FullyShardedDataParallelPlugin,
    GradientAccumulationPlugin,
    ProjectConfiguration,
    TorchDynamoPlugin,
)
from transformers import PreTrainedModel, Seq2SeqTrainingArguments, enable_full_determinism

from summexp.engines.long_t5_workaround import give_every_weight_a_gradient
from summexp.engines.sharded import prepare_for_fsdp, use_deepspeed, use_fsdp
from summexp.engines.supported_fields import deepspeed_problems
from summexp.errors import ConfigError

_DDP = ("find_unused_parameters", "bucket_cap_mb", "broadcast_buffers", "static_graph")


def build_accelerator(model: PreTrainedModel, args: Seq2SeqTrainingArguments) -> Accelerator:
    """Return what splits the work over the processes, and make `model` ready for it.

    Accumulation is left to the loop, which alone knows how many micro-batches a step has.

    Raises:
        ConfigError: DeepSpeed is to bring an optimizer or a schedule of its own.
    """
    give_every_weight_a_gradient(model)
    if args.full_determinism:
        enable_full_determinism(args.seed)
    # What the decoder keeps for the next token is of no use where it has all of them.
    model.config.use_cache = args.use_cache
    if args.activation_checkpointing:
        _checkpoint_activations(model, dict(args.activation_checkpointing_kwargs or {}))
    fsdp = None
    if args.fsdp:
        use_fsdp(args)
        fsdp = FullyShardedDataParallelPlugin(**args.fsdp_plugin_args)
    elif args.deepspeed:
        use_deepspeed()
    # By this Accelerate divides the loss; not with DeepSpeed, which needs it set twice.
    accumulation = args.gradient_accumulation_steps if args.deepspeed else 1
    ddp = {name: getattr(args, f"ddp_{name}") for name in _DDP}
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=accumulation),
        fsdp_plugin=fsdp,
        deepspeed_plugin=_deepspeed(model, args),
        # Each rank reads a stream and takes its share.
        dataloader_config=DataLoaderConfiguration(dispatch_batches=False),
        project_config=ProjectConfiguration(save_on_each_node=args.save_on_each_node),
        dynamo_plugin=TorchDynamoPlugin(
            backend=args.torch_compile_backend, mode=args.torch_compile_mode
        ),
        kwargs_handlers=[
            DistributedDataParallelKwargs(
                **{name: value for name, value in ddp.items() if value is not None}
            )
        ],
    )
    if fsdp is not None:
        prepare_for_fsdp(model, accelerator.state.fsdp_plugin)
    return accelerator


def _checkpoint_activations(model: PreTrainedModel, options: dict[str, Any]) -> None:
    # Two are the method's own, the others are handed on to PyTorch.
    own = {name: options.pop(name) for name in ("every_n_layers", "offload") if name in options}
    model.activation_checkpointing_enable(activation_checkpointing_kwargs=options or None, **own)


def _deepspeed(model: PreTrainedModel, args: Seq2SeqTrainingArguments) -> DeepSpeedPlugin | None:
    """Return how DeepSpeed is to train, with each `auto` filled in from `args`."""
    if not args.deepspeed:
        return None
    plugin = args.deepspeed_plugin
    config = plugin.hf_ds_config.config
    problems = [*deepspeed_problems(config)]
    if problems:
        raise ConfigError(problems)
    plugin.hf_ds_config.trainer_config_finalize(args, model, args.max_steps)
    # DeepSpeed knows a few optimizers, and wants to hear that others are meant.
    config["zero_allow_untested_optimizer"] = True
    return plugin
