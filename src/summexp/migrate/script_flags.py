"""Flags of the scripts themselves: model, data, and all of the script without a Trainer.

Tested in tests/migrate/test_flags.py.
"""

from __future__ import annotations

from collections.abc import Iterable

from summexp.migrate.flags import Flag, Kind, Script, Settings, fixed
from summexp.migrate.removed_flags import (
    EARLIER_FLAGS,
    EARLIER_NO_TRAINER_FLAGS,
    REMOVED_FLAGS,
)
from summexp.migrate.trackers import trackers
from summexp.migrate.training_flags import TRAINING_FLAGS
from summexp.upstream.removed_arguments import SECRET

_OWN_PREFIX = "the file of a model may set one; null removes it"
_BEAMS = "for training and prediction alike; if not set, from the model's config"

MODEL_FLAGS = (
    Flag("model_name_or_path", Kind.TEXT, "model.name_or_path", "or a file: model=t5_small"),
    Flag("config_name", Kind.TEXT, "model.config_name"),
    Flag("tokenizer_name", Kind.TEXT, "model.tokenizer_name"),
    Flag("cache_dir", Kind.TEXT, "model.cache_dir"),
    Flag("use_fast_tokenizer", Kind.BOOL, "model.use_fast_tokenizer", default=True),
    Flag(
        "model_revision",
        Kind.TEXT,
        "model.revision",
        default="main",
        turn=lambda value: {} if value == "main" else {"model.revision": value},
    ),
    Flag("token", Kind.TEXT, "", SECRET, is_secret=True),
    Flag("trust_remote_code", Kind.BOOL, "model.trust_remote_code", default=False),
    Flag("resize_position_embeddings", Kind.BOOL, "model.resize_position_embeddings"),
)
"""`ModelArguments`."""

DATA_FLAGS = (
    Flag("lang", Kind.TEXT, "model.lang"),
    Flag("dataset_name", Kind.TEXT, "data.name", "or a file: data=cnn_dailymail"),
    Flag("dataset_config_name", Kind.TEXT, "data.config_name"),
    Flag("text_column", Kind.TEXT, "data.text_column"),
    Flag("summary_column", Kind.TEXT, "data.summary_column"),
    Flag("train_file", Kind.TEXT, "data.train_file", "with data=custom_csv or custom_json"),
    Flag("validation_file", Kind.TEXT, "data.validation_file", "may have another format"),
    Flag("test_file", Kind.TEXT, "data.test_file", "summaries are optional there"),
    Flag("overwrite_cache", Kind.BOOL, "data.overwrite_cache", default=False),
    Flag("preprocessing_num_workers", Kind.INT, "data.preprocessing_num_workers"),
    Flag("max_source_length", Kind.INT, "data.max_source_length", default=1024),
    Flag("max_target_length", Kind.INT, "data.max_target_length", default=128),
    Flag("val_max_target_length", Kind.INT, "data.val_max_target_length"),
    Flag("pad_to_max_length", Kind.BOOL, "data.pad_to_max_length", default=False),
    Flag("max_train_samples", Kind.INT, "data.max_train_samples"),
    Flag("max_eval_samples", Kind.INT, "data.max_eval_samples"),
    Flag("max_predict_samples", Kind.INT, "data.max_predict_samples"),
    Flag("num_beams", Kind.INT, "generation.num_beams", _BEAMS, 1),
    Flag("ignore_pad_token_for_loss", Kind.BOOL, "data.ignore_pad_token_for_loss", default=True),
    Flag("source_prefix", Kind.TEXT, "model.source_prefix", _OWN_PREFIX),
    Flag("forced_bos_token", Kind.TEXT, "model.forced_bos_token"),
)
"""`DataTrainingArguments`."""


def _checkpoints(value: str) -> Settings:
    # They were never pruned.
    kept = {"training.save_total_limit": None}
    if value == "epoch":
        return {"training.save_strategy": "epoch", **kept}
    if value.isdigit():
        return {"training.save_strategy": "steps", "training.save_steps": int(value), **kept}
    return {}


_AS_ABOVE = {flag.name: flag for flag in (*MODEL_FLAGS, *DATA_FLAGS, *TRAINING_FLAGS)}
_SAME = (
    *("model_name_or_path", "config_name", "tokenizer_name"),
    *("dataset_name", "dataset_config_name", "train_file", "validation_file"),
    *("text_column", "summary_column", "source_prefix", "preprocessing_num_workers"),
    *("max_source_length", "max_target_length", "val_max_target_length"),
    *("output_dir", "learning_rate", "weight_decay", "lr_scheduler_type"),
    *("per_device_train_batch_size", "per_device_eval_batch_size", "gradient_accumulation_steps"),
    *("hub_model_id", "hub_token"),
)
"""Flags that the script without a Trainer took as the other one did."""

NO_TRAINER_FLAGS = (
    *(_AS_ABOVE[name] for name in _SAME),
    Flag(
        "ignore_pad_token_for_loss",
        Kind.TRUTHY,
        "data.ignore_pad_token_for_loss",
        "any value but an empty one meant true, even False",
        True,
    ),
    Flag("overwrite_cache", Kind.SWITCH, "data.overwrite_cache", default=False),
    Flag("num_beams", Kind.INT, "generation.num_beams", _BEAMS),
    Flag("pad_to_max_length", Kind.SWITCH, "data.pad_to_max_length", default=False),
    Flag(
        "use_slow_tokenizer",
        Kind.SWITCH,
        "model.use_fast_tokenizer=false",
        "",
        False,
        fixed(model__use_fast_tokenizer=False),
    ),
    Flag("num_train_epochs", Kind.INT, "training.num_train_epochs", default=3),
    Flag("max_train_steps", Kind.INT, "training.max_steps"),
    Flag(
        "num_warmup_steps",
        Kind.INT,
        "training.warmup_steps",
        "optimizer steps, for any number of processes",
        0,
    ),
    Flag("seed", Kind.INT, "seed"),
    Flag(
        "model_type",
        Kind.TEXT,
        "model.init=random model.architecture.model_type",
        "had an effect only without --model_name_or_path and --config_name",
        turn=lambda value: {"model.init": "random", "model.architecture.model_type": value},
    ),
    Flag(
        "push_to_hub",
        Kind.SWITCH,
        "training.push_to_hub training.hub_strategy=end",
        "uploads at the end, not after each epoch",
        False,
        fixed(training__push_to_hub=True, training__hub_strategy="end"),
    ),
    Flag("trust_remote_code", Kind.SWITCH, "model.trust_remote_code", default=False),
    Flag(
        "checkpointing_steps",
        Kind.TEXT,
        "training.save_strategy training.save_steps",
        "training.save_total_limit=null keeps them all, as before",
        turn=_checkpoints,
    ),
    Flag(
        "resume_from_checkpoint",
        Kind.TEXT,
        "training.resume_from_checkpoint",
        "a checkpoint of summexp; those of the old script have another format",
    ),
    Flag(
        "with_tracking",
        Kind.SWITCH,
        "tracking=tensorboard, tracking=wandb",
        "--report_to names them",
        False,
        lambda _: {},
    ),
    Flag(
        "report_to",
        Kind.LIST,
        "tracking=tensorboard, tracking=wandb",
        "had an effect only with --with_tracking",
        "all",
        trackers,
    ),
)
"""The argparse flags of the script without a Trainer."""

_TPU = "the TPU of the machine is used, whatever its name"
TENSORFLOW_FLAGS = (
    Flag("tpu", Kind.TEXT_OR_BOOL, "hardware=tpu8", _TPU, turn=fixed(hardware="tpu8")),
    Flag("tpu_name", Kind.TEXT, "hardware=tpu8", _TPU, turn=fixed(hardware="tpu8")),
    Flag("tpu_zone", Kind.TEXT, "", _TPU),
    Flag("gcp_project", Kind.TEXT, "", _TPU),
    Flag(
        "poly_power",
        Kind.FLOAT,
        "training.lr_scheduler_type=polynomial training.lr_scheduler_kwargs={power: …}",
        "1 is the linear one",
        1.0,
        lambda value: (
            {}
            if value == 1
            else {
                "training.lr_scheduler_type": "polynomial",
                "training.lr_scheduler_kwargs": {"power": value, "lr_end": 0},
            }
        ),
    ),
    Flag(
        "xla",
        Kind.BOOL,
        "training.torch_compile",
        "uses torch.compile instead of XLA",
        False,
    ),
)
"""Flags of the TensorFlow script beside those of model, data and training."""

_NOT_TENSORFLOW = {
    "lang",
    "forced_bos_token",
    "resize_position_embeddings",
    "sortish_sampler",
    "predict_with_generate",
    "generation_max_length",
    "generation_num_beams",
    "generation_config",
}


def _by_name(*groups: Iterable[Flag]) -> dict[str, Flag]:
    return {flag.name: flag for group in groups for flag in group}


_TRAINER = _by_name(MODEL_FLAGS, DATA_FLAGS, TRAINING_FLAGS, REMOVED_FLAGS, EARLIER_FLAGS)

FLAGS: dict[Script, dict[str, Flag]] = {
    Script.TRAINER: _TRAINER,
    Script.NO_TRAINER: _by_name(NO_TRAINER_FLAGS, EARLIER_NO_TRAINER_FLAGS),
    Script.TENSORFLOW: {
        name: flag
        for name, flag in (_TRAINER | _by_name(TENSORFLOW_FLAGS)).items()
        if name not in _NOT_TENSORFLOW
    },
}
"""Every flag of each script, by its name."""
