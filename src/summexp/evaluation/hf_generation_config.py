"""Builds transformers' `GenerationConfig` from the `generation` group.

Importing this module is cheap; its function imports transformers (and so torch) when it is called.

Tested in tests/engines/test_schemas.py.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from summexp.errors import ConfigError
from summexp.evaluation.generated.generation_options import GenerationOptions

if TYPE_CHECKING:
    from transformers import GenerationConfig
from summexp.options import changed_fields
from summexp.upstream.transformers_errors import (
    OPTION_ERRORS,
    generation_remarks,
    option_problem,
    rejection,
)


def generation_config(
    model_generation_config: GenerationConfig,
    options: GenerationOptions,
    *,
    max_length: int | None = None,
    decoder_only: bool = False,
) -> GenerationConfig:
    """Return a copy of the model's generation config with the user's options.

    Assign it to the model (`model.generation_config = …`): passed to `generate`, its None values
    would be filled from the model's config again. Options of the model that the user's choice makes
    unused (`early_stopping` with one beam, `temperature` without sampling, a `min_length` above the
    new `max_length`) are dropped: upstream warns of them, and then refuses to save the model.

    Lengths become `max_length` and `min_length`, which include the decoder's start token:
    `max_new_tokens=n` becomes `max_length=n + 1`, which is equivalent for an encoder-decoder model.
    Otherwise each batch would give a warning, since `Seq2SeqTrainer.prediction_step` (5.23) adds
    upstream's default `max_length` of 20.

    For a decoder-only model upstream includes the prompt in lengths. Here lengths are those of the
    summary and become `max_new_tokens` and `min_new_tokens`; the model's lengths are dropped.

    Args:
        model_generation_config: the model's config; it is not modified.
        options: the `generation` group.
        max_length: maximum tokens of a summary, start token included, if `options` has no limit; it
            replaces the model's limit.
        decoder_only: whether the model is decoder-only.

    Raises:
        ConfigError: upstream rejects options; one problem for each.
    """
    from summexp.upstream.transformers import detach_from_model_config

    config = copy.deepcopy(model_generation_config)
    chosen = copy.deepcopy(changed_fields(options))
    if max_length is not None and not {"max_length", "max_new_tokens"} & set(chosen):
        chosen["max_length"] = max_length
    for name, value in chosen.items():
        setattr(config, name, _upstream_value(name, value))
    for spec in fields(GenerationOptions):
        # Upstream (5.23) rejects some empty lists, and takes others as a choice of their mode.
        if getattr(config, spec.name, None) == []:
            setattr(config, spec.name, None)
    if decoder_only:
        _count_new_tokens(config, chosen)
    else:
        _count_all_tokens(config, chosen)
    _check_lengths(config, chosen)
    detach_from_model_config(config)
    _drop_unused(config, chosen)
    return config


def _count_all_tokens(config: GenerationConfig, chosen: Mapping[str, Any]) -> None:
    """Set `max_length` and `min_length`, start token included."""
    for end in ("max", "min"):
        new_tokens = getattr(config, f"{end}_new_tokens")
        if new_tokens is not None and f"{end}_length" not in chosen:
            setattr(config, f"{end}_length", new_tokens + 1)
        setattr(config, f"{end}_new_tokens", None)


def _count_new_tokens(config: GenerationConfig, chosen: Mapping[str, Any]) -> None:
    """Set `max_new_tokens` and `min_new_tokens` from the user's options."""
    for end in ("max", "min"):
        total = chosen.get(f"{end}_length")
        setattr(config, f"{end}_new_tokens", chosen.get(f"{end}_new_tokens", total))
        setattr(config, f"{end}_length", None)


def _check_lengths(config: GenerationConfig, chosen: Mapping[str, Any]) -> None:
    """Raise if the minimum length is above the maximum, or drop it if it is the model's."""
    ends = ("length", "new_tokens")
    shortest, longest = (
        next((n for n in (getattr(config, f"{side}_{end}") for end in ends) if n is not None), None)
        for side in ("min", "max")
    )
    if shortest is not None and longest is not None and shortest > longest:
        key = next((name for name in ("min_length", "min_new_tokens") if name in chosen), None)
        if key is not None:
            what = f"is above the maximum length of a summary ({longest} tokens)"
            hint = "Raise generation.max_length."
            raise ConfigError.of(key=f"generation.{key}", what=what, hint=hint)
        config.min_length = config.min_new_tokens = None


def _upstream_value(name: str, value: Any) -> Any:
    """Convert a value from YAML into the type that generation expects.

    Raises:
        ConfigError: a mapping has unknown keys.
    """
    from transformers import CompileConfig, SynthIDTextWatermarkingConfig, WatermarkingConfig

    try:
        if name == "compile_config" and isinstance(value, Mapping):
            return CompileConfig(**value)
        if name == "watermarking_config" and isinstance(value, Mapping):
            synthid = "ngram_len" in value
            return (SynthIDTextWatermarkingConfig if synthid else WatermarkingConfig)(**value)
    except OPTION_ERRORS as error:
        raise ConfigError(option_problem("generation", name, str(error))) from error
    if name == "exponential_decay_length_penalty":
        start, factor = value
        return int(start), factor
    return value


def _drop_unused(config: GenerationConfig, chosen: Mapping[str, Any]) -> None:
    """Set options to None that upstream's strict validation rejects, unless the user set them."""
    while True:
        try:
            config.validate(strict=True)
        except ValueError as error:
            # Either a list, "- `temperature`: …", or one error that names the option somewhere.
            remarks = generation_remarks(error)
            inherited = [name for name in remarks if name not in chosen]
            if inherited:
                for name in inherited:
                    setattr(config, name, None)
                continue
            if remarks:
                problems = [
                    option_problem("generation", key, what) for key, what in remarks.items()
                ]
            else:
                names = [spec.name for spec in fields(GenerationOptions)]
                problems = [rejection("generation", error, chosen, names)]
            raise ConfigError(problems) from error
        return
