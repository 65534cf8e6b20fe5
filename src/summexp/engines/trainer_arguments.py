"""`training.*` of a job as transformers' own arguments, which every engine goes by."""

from __future__ import annotations

from typing import Any

from datasets import Dataset
from transformers import PreTrainedModel, Seq2SeqTrainingArguments

from summexp.distributed.devices import devices_behind, select_device
from summexp.engines.hf_training_arguments import training_arguments
from summexp.engines.protocol import TrainingJob
from summexp.errors import ConfigError, Problem


def job_arguments(job: TrainingJob) -> Seq2SeqTrainingArguments:
    """Return the arguments of a training, with what follows from the rest of the config.

    Raises:
        ConfigError: what upstream refuses, or a model that cannot be split as it is asked to be.
    """
    training = job.training
    device = select_device(job.backend)
    rows = training.per_device_train_batch_size
    over: dict[str, Any] = {
        # Rows hold tokens alone, and the collator adds what the model needs.
        "remove_unused_columns": False,
        "use_cpu": device.type == "cpu",
        # Upstream's "device" is a process.
        "per_device_train_batch_size": rows * devices_behind(device),
        # Upstream would upload whatever the folder holds.
        "push_to_hub": False,
        "run_name": job.run_name or job.folder.name,
    }
    if not training.do_eval:
        over["eval_strategy"] = "no"
    if job.engine.early_stopping_patience and training.metric_for_best_model is None:
        over["metric_for_best_model"] = "loss"
    options = training.accelerator_config
    if not isinstance(job.rows, Dataset) and not isinstance(options, str):
        # Each rank reads the stream and takes its share. Handed out by rank 0, as upstream has it,
        # all batches would have to have one length.
        over["accelerator_config"] = {"dispatch_batches": False} | dict(options or {})
    if training.ddp_find_unused_parameters is None:
        # Upstream looks through the graph for them at each step; only dropped layers leave any.
        over["ddp_find_unused_parameters"] = bool(_drops_layers(job.model))
    args = training_arguments(
        training,
        output_dir=job.folder,
        seed=job.seed,
        report_to=list(job.trackers),
        **over,
    )
    if args.n_gpu > 1:
        # One process drives one GPU; DataParallel over several is slow, and breaks generation.
        args._n_gpu = 1
    if (args.fsdp or args.deepspeed) and _drops_layers(job.model):
        raise ConfigError(_layers_differ(job.model))
    return args


def _drops_layers(model: PreTrainedModel) -> list[str]:
    """Return the names of the probabilities above 0 with which `model` leaves out layers."""
    names = ("layerdrop", "encoder_layerdrop", "decoder_layerdrop")
    return [name for name in names if getattr(model.config, name, 0)]


def _layers_differ(model: PreTrainedModel) -> list[Problem]:
    return [
        Problem(
            key=f"model.architecture.{name}",
            what="leaves out layers at random, others on each process, and FSDP and DeepSpeed wait "
            "for every process at every layer",
            hint=f"Set model.architecture.{name}=0, or choose hardware=ddp8_bf16.",
        )
        for name in _drops_layers(model)
    ]
