"""From the `generation` group to transformers' `GenerationConfig`.

Importing this module is cheap; its function imports transformers (and so torch) when it is called.

Tested in tests/engines/test_schemas.py.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from summexp.errors import ConfigError, Problem
from summexp.evaluation.generated.generation_options import GenerationOptions

if TYPE_CHECKING:
    from transformers import GenerationConfig
from summexp.options import changed_fields
from summexp.upstream.transformers_errors import OPTION_ERRORS, option_problem, rejection


def generation_config(
    model_generation_config: GenerationConfig,
    options: GenerationOptions,
    *,
    max_length: int | None = None,
    decoder_only: bool = False,
) -> GenerationConfig:
    """Return a copy of the model's own generation config with every option that was set.

    Make it the model's (`model.generation_config = …`) rather than an argument of `generate`, where
    what is None is filled from the model's own again. What the user set wins over what the model
    brings. Flags of the model's that the user's choice puts out of use (`early_stopping` with one
    beam, `temperature` without sampling, a `min_length` above the new `max_length`) are dropped:
    upstream warns of them, and then refuses to save the model.

    Lengths come out as `max_length` and `min_length` alone, which count the decoder's start token:
    `max_new_tokens=n` becomes `max_length=n + 1`, the same for an encoder-decoder model. Left as it
    is, it would draw a warning at each batch: `Seq2SeqTrainer.prediction_step` (5.23) writes
    upstream's default `max_length` of 20 beside it into the model's config.

    For a decoder-only model upstream counts its prompt in. Here all of them mean the summary alone,
    and come out as `max_new_tokens` and `min_new_tokens`; the model's own are dropped.

    Args:
        model_generation_config: the model's own; it is not modified.
        options: the `generation` group.
        max_length: longest summary in tokens, start token included, if `options` has no limit; it
            replaces the model's own.
        decoder_only: whether the model goes on with its prompt.

    Raises:
        ConfigError: what upstream refuses, a problem for each option.
    """
    config = copy.deepcopy(model_generation_config)
    chosen = copy.deepcopy(changed_fields(options))
    if max_length is not None and not {"max_length", "max_new_tokens"} & set(chosen):
        chosen["max_length"] = max_length
    for name, value in chosen.items():
        setattr(config, name, _upstream_value(name, value))
    if decoder_only:
        _count_new_tokens(config, chosen)
    else:
        _count_all_tokens(config, chosen)
    _check_lengths(config, chosen)
    # It no longer is what upstream derived from the model's config.
    config._from_model_config = False
    _drop_unused(config, chosen)
    return config


def _count_all_tokens(config: GenerationConfig, chosen: Mapping[str, Any]) -> None:
    """Leave one longest and one shortest length, start token included."""
    for end in ("max", "min"):
        new_tokens = getattr(config, f"{end}_new_tokens")
        if new_tokens is not None and f"{end}_length" not in chosen:
            setattr(config, f"{end}_length", new_tokens + 1)
        setattr(config, f"{end}_new_tokens", None)


def _count_new_tokens(config: GenerationConfig, chosen: Mapping[str, Any]) -> None:
    """Leave one longest and one shortest number of new tokens, those that were chosen."""
    for end in ("max", "min"):
        total = chosen.get(f"{end}_length")
        setattr(config, f"{end}_new_tokens", chosen.get(f"{end}_new_tokens", total))
        setattr(config, f"{end}_length", None)


def _check_lengths(config: GenerationConfig, chosen: Mapping[str, Any]) -> None:
    """Refuse a shortest length above the longest, or drop it where the model brings it."""
    ends = ("length", "new_tokens")
    shortest, longest = (
        next((n for n in (getattr(config, f"{side}_{end}") for end in ends) if n is not None), None)
        for side in ("min", "max")
    )
    if shortest is not None and longest is not None and shortest > longest:
        key = next((name for name in ("min_length", "min_new_tokens") if name in chosen), None)
        if key is not None:
            what = f"asks for summaries longer than the longest allowed ({longest} tokens)"
            hint = "Set generation.max_length higher."
            raise ConfigError(Problem(key=f"generation.{key}", what=what, hint=hint))
        config.min_length = config.min_new_tokens = None


def _upstream_value(name: str, value: Any) -> Any:
    """Turn what YAML can say into the type that generation expects.

    Raises:
        ConfigError: if a mapping has keys that its class does not take.
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
    """Set to None what upstream's strict check objects to, unless the user chose it."""
    while True:
        try:
            config.validate(strict=True)
        except ValueError as error:
            # A list of remarks, "- `temperature`: …", or one error that names the option somewhere.
            remarks = dict(re.findall(r"^- `(\w+)`: (.+)$", str(error), re.MULTILINE))
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
