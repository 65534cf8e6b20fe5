"""Builds Accelerate's `Accelerator` from `training.*`, and prepares the model for it."""

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
from summexp.engines.sharded import prepare_for_fsdp, use_fsdp
from summexp.engines.supported_fields import deepspeed_problems
from summexp.errors import ConfigError
from summexp.upstream.deepspeed import silence_deprecations
from summexp.upstream.transformers import deepspeed_config, deepspeed_plugin, fsdp_options

_DDP = ("find_unused_parameters", "bucket_cap_mb", "broadcast_buffers", "static_graph")


def build_accelerator(model: PreTrainedModel, args: Seq2SeqTrainingArguments) -> Accelerator:
    """Return the accelerator, and prepare `model` for it.

    The training loop implements gradient accumulation, since the last step of an epoch may have
    fewer micro-batches.

    Raises:
        ConfigError: the DeepSpeed config has its own optimizer or schedule.
    """
    give_every_weight_a_gradient(model)
    if args.full_determinism:
        enable_full_determinism(args.seed)
    # The decoder's cache is useless in training, which has all target tokens.
    model.config.use_cache = args.use_cache
    if args.activation_checkpointing:
        options = args.activation_checkpointing_kwargs or {}
        assert not isinstance(options, str), "parsed by TrainingArguments"
        _checkpoint_activations(model, dict(options))
    fsdp = None
    if args.fsdp:
        use_fsdp(args)
        fsdp = FullyShardedDataParallelPlugin(**fsdp_options(args))
    elif args.deepspeed:
        silence_deprecations()
    # Accelerate would divide the loss by this number; DeepSpeed needs it set here too.
    accumulation = args.gradient_accumulation_steps if args.deepspeed else 1
    ddp = {name: getattr(args, f"ddp_{name}") for name in _DDP}
    accelerator = Accelerator(
        mixed_precision=args.mixed_precision,
        gradient_accumulation_plugin=GradientAccumulationPlugin(num_steps=accumulation),
        fsdp_plugin=fsdp,
        deepspeed_plugin=_deepspeed(model, args),
        # Each rank reads the stream and takes its share.
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
        prepare_for_fsdp(model, accelerator)
    return accelerator


def _checkpoint_activations(model: PreTrainedModel, options: dict[str, Any]) -> None:
    # Two options are those of the method, the others are passed to PyTorch.
    own = {name: options.pop(name) for name in ("every_n_layers", "offload") if name in options}
    model.activation_checkpointing_enable(activation_checkpointing_kwargs=options or None, **own)


def _deepspeed(model: PreTrainedModel, args: Seq2SeqTrainingArguments) -> DeepSpeedPlugin | None:
    """Return the DeepSpeed plugin, with each `auto` filled in from `args`."""
    if not args.deepspeed:
        return None
    config = deepspeed_config(args)
    problems = [*deepspeed_problems(config)]
    if problems:
        raise ConfigError(problems)
    # DeepSpeed rejects an optimizer that it does not know without this option.
    config["zero_allow_untested_optimizer"] = True
    plugin: DeepSpeedPlugin = deepspeed_plugin(args, model)
    return plugin
