"""Flags from transformers' `Seq2SeqTrainingArguments`, which every script of the Trainer had.

Tested in tests/migrate/test_flags.py.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from typing import Any

from summexp.config.aliases import ALIASES, NO_EFFECT
from summexp.engines.generated.training_config import TrainingConfig
from summexp.errors import ConfigError
from summexp.migrate.flags import Flag, Kind, Settings, fixed
from summexp.migrate.trackers import trackers
from summexp.upstream.removed_arguments import SECRET

_KINDS = {
    "int": Kind.INT,
    "float": Kind.FLOAT,
    "bool": Kind.BOOL,
    "str": Kind.TEXT,
    "list[str]": Kind.LIST,
}
_KIND_OF = {
    "report_to": Kind.LIST,
    "debug": Kind.LIST,
    "optim_target_modules": Kind.LIST,
    "include_num_input_tokens_seen": Kind.TEXT_OR_BOOL,
    "fsdp": Kind.TEXT_OR_BOOL,
    "trackio_static_space_id": Kind.TEXT_OR_BOOL,
}
"""Kinds that do not follow from the type. Other fields without a simple type are JSON."""

_LAUNCHER = "not needed; the launcher sets it"
_TRACKIO = "not supported; the tracker trackio"


def _counted(value: str | bool) -> Settings:
    word = {True: "all", False: "no"}.get(value, value) if isinstance(value, bool) else value
    return {"training.include_num_input_tokens_seen": word}


def _sampled(value: str) -> Settings:
    if value == "group_by_length":
        return {}
    return {"engine.sampler": "upstream", "training.train_sampling_strategy": value}


def _generation(value: str) -> Settings:
    raise ConfigError.of(
        what=f"--generation_config {value}: not supported, as each of its options is a key",
        hint="Leave it out, and add the options to the new command: generation.num_beams=4 …",
    )


_OTHER_KEYS: dict[str, tuple[str, str, Callable[[Any], Settings] | None]] = {
    "output_dir": ("output_dir", "", None),
    "seed": ("seed", "", None),
    "report_to": (
        "tracking=tensorboard, tracking=wandb",
        "tensorboard and wandb; curves and scores are in the run folder in any case",
        trackers,
    ),
    "run_name": ("tracking.run_name", "", None),
    "project": ("tracking.project", "", None),
    "generation_max_length": ("generation.max_length", "", None),
    "generation_num_beams": (
        "generation.num_beams",
        "takes effect without --num_beams; the old script used 1 beam then",
        None,
    ),
    "generation_config": ("generation.*", "each of its options is a key", _generation),
    "use_cpu": ("hardware=cpu", "", fixed(hardware="cpu")),
    "ddp_backend": ("", "not needed; nccl for GPUs, gloo for CPUs", None),
    "ddp_timeout": (
        "hardware.timeout_minutes",
        "in minutes, not seconds",
        lambda value: {"hardware.timeout_minutes": value / 60},
    ),
    "local_rank": ("", _LAUNCHER, None),
    "disable_tqdm": ("", "not needed; progress bars appear on a terminal only", None),
    "hub_token": ("", SECRET, None),
    "trackio_space_id": ("", _TRACKIO, None),
    "trackio_bucket_id": ("", _TRACKIO, None),
    "trackio_static_space_id": ("", _TRACKIO, None),
    "length_column_name": ("", "not needed; the lengths are known", None),
    "train_sampling_strategy": (
        "training.train_sampling_strategy engine.sampler=upstream",
        "group_by_length is the default order of the rows, with no key",
        _sampled,
    ),
    "optim": (
        "training.optim",
        "adamw_hf left transformers; adamw_torch is the same",
        lambda value: {"training.optim": "adamw_torch" if value == "adamw_hf" else value},
    ),
    "optim_target_modules": (
        "training.optim_target_modules",
        "",
        lambda value: {"training.optim_target_modules": value[0] if len(value) == 1 else value},
    ),
    "debug": ("training.debug", "", lambda value: {"training.debug": " ".join(value)}),
    "include_num_input_tokens_seen": ("training.include_num_input_tokens_seen", "", _counted),
    "fsdp": (
        "training.fsdp",
        "hardware=fsdp8_bf16 sets it",
        # "" was the default of transformers 4.
        lambda value: {"training.fsdp": value} if value else {},
    ),
    "resume_from_checkpoint": (
        "training.resume_from_checkpoint",
        "a folder; True is not needed, since a run in the same output_dir resumes by itself",
        lambda value: (
            {} if str(value).lower() == "true" else {"training.resume_from_checkpoint": value}
        ),
    ),
}
"""Fields that are not a key of `training` of the same name: key, remark, function to settings."""

_REMARK_AT = {"optim": "adamw_hf", "train_sampling_strategy": "group_by_length"}
"""Flags whose remark concerns one of their values only."""


def remark_applies(flag: Flag, value: Any) -> bool:
    """Return whether the remark on a flag concerns this value."""
    if flag.name == "resume_from_checkpoint":
        return str(value).lower() == "true"
    return flag.name not in ("fsdp", "report_to") and (
        flag.name not in _REMARK_AT or _REMARK_AT[flag.name] == value
    )


def _kind(name: str, declared: str) -> Kind:
    if name in _KIND_OF:
        return _KIND_OF[name]
    return _KINDS.get(declared.removesuffix(" | None"), Kind.JSON)


def _flag(name: str, declared: str, default: Any) -> Flag:
    kind, key = _kind(name, declared), f"training.{name}"
    if name in _OTHER_KEYS:
        now, remark, turn = _OTHER_KEYS[name]
        return Flag(name, kind, now, remark, default, turn, is_secret=name == "hub_token")
    if key in NO_EFFECT:
        return Flag(name, kind, "", NO_EFFECT[key][0], default)
    assert key not in ALIASES, f"{key} is rejected, so --{name} needs another key"
    return Flag(name, kind, key, "", default)


TRAINING_FLAGS = tuple(
    _flag(
        spec.name,
        str(spec.type),
        spec.default if spec.default_factory is MISSING else spec.default_factory(),
    )
    for spec in fields(TrainingConfig)
)
"""A flag for each field, in upstream's order."""
