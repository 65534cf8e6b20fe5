"""Builds a job's `Seq2SeqTrainingArguments`, used by every engine."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from torch import nn
from transformers import PreTrainedModel, Seq2SeqTrainingArguments

from summexp.distributed.devices import devices_behind, select_device
from summexp.engines.hf_training_arguments import training_arguments
from summexp.engines.protocol import TrainingJob
from summexp.errors import ConfigError, Problem
from summexp.modeling.architecture import parts_of
from summexp.upstream.transformers import use_one_gpu


def job_arguments(job: TrainingJob) -> Seq2SeqTrainingArguments:
    """Return the arguments of a training, with values derived from the rest of the config.

    Raises:
        ConfigError: upstream rejects a value, or the model cannot be sharded.
    """
    training = job.training
    device = select_device(job.backend)
    rows = training.per_device_train_batch_size
    over: dict[str, Any] = {
        # The rows only have tokens, and the collator adds the rest.
        "remove_unused_columns": False,
        "use_cpu": device.type == "cpu",
        # Upstream counts a process as a device.
        "per_device_train_batch_size": rows * devices_behind(device),
        # Upstream would upload the whole folder.
        "push_to_hub": False,
        "run_name": job.run_name or job.folder.name,
    }
    if not training.do_eval:
        over["eval_strategy"] = "no"
    if job.engine.early_stopping_patience and training.metric_for_best_model is None:
        over["metric_for_best_model"] = "loss"
    options = training.accelerator_config
    if not isinstance(job.rows, Dataset) and not isinstance(options, str):
        # Each rank reads the stream and takes its share. Dispatched by rank 0, as upstream does,
        # all batches would need the same length.
        over["accelerator_config"] = {"dispatch_batches": False} | dict(options or {})
    if training.ddp_find_unused_parameters is None:
        # Searching the graph at each step is slow, and most models use all of their parameters.
        over["ddp_find_unused_parameters"] = _leaves_weights_out(job.model)
    args = training_arguments(
        training,
        output_dir=job.folder,
        seed=job.seed,
        report_to=list(job.trackers),
        **over,
    )
    # DataParallel is slow and breaks generation.
    use_one_gpu(args)
    if (args.fsdp or args.deepspeed) and _drops_layers(job.model):
        raise ConfigError(_layers_differ(job.model))
    if (args.fsdp or args.deepspeed) and _has_separate_experts(job.model):
        raise ConfigError.of(
            key="training.fsdp" if args.fsdp else "training.deepspeed",
            what=f"does not support {job.model.config.model_type}: each process sends its tokens "
            "to other experts, and FSDP and DeepSpeed need every process at every expert",
            hint="Choose hardware=ddp8_bf16, with peft=lora where memory is short.",
        )
    if args.fsdp and parts_of(job.model.config):
        # PyTorch (2.13) rejects the weights that their sides share with each other or the output.
        raise ConfigError.of(
            key="training.fsdp",
            what=f"does not support {job.model.config.model_type}, a model of two configs",
            hint="Choose hardware=ddp8_bf16, with peft=lora where memory is short.",
        )
    return args


def _leaves_weights_out(model: PreTrainedModel) -> bool:
    """Return whether a batch may give some weights no gradient.

    Those are dropped layers, experts that no token is sent to, and in models of two configs what
    texts do not need: BERT's pooler, the part of T5Gemma2 that sees.
    """
    return bool(_drops_layers(model) or parts_of(model.config) or _has_separate_experts(model))


def _has_separate_experts(model: PreTrainedModel) -> bool:
    """Return whether each expert is a module, as in Switch Transformers and NLLB-MoE.

    Later families have the weights of all experts in one tensor, which always gets a gradient.
    """
    return any(
        isinstance(module, nn.ModuleDict) and type(module).__name__.endswith("Experts")
        for module in model.modules()
    )


def _drops_layers(model: PreTrainedModel) -> list[str]:
    """Return the names of the layer drop probabilities above 0."""
    names = ("layerdrop", "encoder_layerdrop", "decoder_layerdrop")
    return [name for name in names if getattr(model.config, name, 0)]


def _layers_differ(model: PreTrainedModel) -> list[Problem]:
    return [
        Problem(
            key=f"model.architecture.{name}",
            what="drops other layers at random on each process, and FSDP and DeepSpeed need every "
            "process at every layer",
            hint=f"Set model.architecture.{name}=0, or choose hardware=ddp8_bf16.",
        )
        for name in _drops_layers(model)
    ]
