"""Architecture of a model: its transformers config, from the Hub, `model.architecture`, or tiny."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

from huggingface_hub.errors import StrictDataclassError
from transformers import CONFIG_MAPPING, AutoConfig, PreTrainedConfig

from summexp.errors import ConfigError, Problem, nearest
from summexp.modeling.config import ModelConfig
from summexp.modeling.loading_errors import loading
from summexp.upstream.transformers import DECODER_ONLY, ENCODER_DECODERS
from summexp.upstream.transformers_errors import invalid_config

log = logging.getLogger(__name__)

_TINY_SIZES: dict[str, Any] = {
    "d_model": 32,
    "hidden_size": 32,
    "d_kv": 8,
    "d_ff": 64,
    "ffn_dim": 64,
    "head_dim": 8,
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "intermediate_size": 64,
    "num_layers": 2,
    "num_decoder_layers": 2,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "num_hidden_layers": 2,
    "num_heads": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "word_embed_proj_dim": 32,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "max_position_embeddings": 128,
    "max_encoder_position_embeddings": 128,
    "max_decoder_position_embeddings": 128,
    "attention_window": 16,
    "local_radius": 8,
    "global_block_size": 8,
    "rotary_dim": 4,
    "attention_types": [[["global", "local"], 1]],
}
"""Sizes of a tiny model, by the architectures' names for them; the last two are GPT-J's, and what
GPT-Neo has in place of a number of layers."""

_SPECIALS = ("bos_token_id", "eos_token_id", "pad_token_id")

TINY_VOCABULARY = 512
"""Tokens of a tiny model's tokenizer."""


def architecture(config: ModelConfig, *, tiny: bool) -> PreTrainedConfig:
    """Return the transformers config that `model` describes.

    Args:
        config: the `model` group.
        tiny: shrink it, without dropout, and ask neither Hub nor cache.

    Raises:
        ConfigError: a key of `model.architecture` that this architecture does not have, a value
            that it does not take, a repository that cannot be read, or a model that writes nothing.
    """
    own = config.architecture.get("model_type") is not None
    if tiny:
        return _tiny(_own(config) if own else _local(config))
    if config.init == "random":
        return _own(config) if own else _updated(_pretrained(config), config.architecture)
    return _of_trained_weights(_pretrained(config), config.architecture)


def is_decoder_only(shape: PreTrainedConfig) -> bool:
    """Return whether a model continues the document as its prompt."""
    own_code = "AutoModelForCausalLM" in (getattr(shape, "auto_map", None) or {})
    return not shape.is_encoder_decoder and (own_code or shape.model_type in DECODER_ONLY)


def prefix_left_out(config: ModelConfig, shape: PreTrainedConfig) -> str | None:
    """Return the prefix that trained weights know documents by, where `model` says nothing of one.

    T5's and Flan-T5's own configs name it among their `task_specific_params`, and so does what was
    fine-tuned from them. `source_prefix=""` says that none is wanted.
    """
    if config.init != "pretrained" or config.source_prefix is not None:
        return None
    tasks = getattr(shape, "task_specific_params", None) or {}
    prefix = tasks.get("summarization", {}).get("prefix")
    return prefix if isinstance(prefix, str) and prefix.strip() else None


def dropout_fields(shape: PreTrainedConfig) -> list[str]:
    """Return the names of a config's dropout probabilities."""
    return [
        name
        for name, value in shape.to_dict().items()
        if any(part in name for part in ("dropout", "layerdrop", "pdrop"))
        and isinstance(value, float | int)
    ]


def _own(config: ModelConfig) -> PreTrainedConfig:
    """Build the config that `model.architecture` alone describes."""
    model_type = config.architecture["model_type"]
    known = ENCODER_DECODERS | DECODER_ONLY
    if model_type not in known:
        some = f"There are: {', '.join(sorted(ENCODER_DECODERS))}; and many decoder-only ones, "
        raise ConfigError.of(
            key="model.architecture.model_type",
            what=f"there is no text generation architecture {model_type!r}",
            hint=nearest(model_type, sorted(known)) or some + "such as gpt2, llama, qwen3.",
        )
    return _updated(CONFIG_MAPPING[model_type](), config.architecture)


def _updated(shape: PreTrainedConfig, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    """Return a config of the same class with `overrides`, which are checked first."""
    changed = _checked(shape, overrides)
    try:
        return type(shape)(**{**_given(shape, changed), **_beyond(shape, changed), **changed})
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise ConfigError(architecture_problem(changed, error)) from error


def _beyond(shape: PreTrainedConfig, changed: Mapping[str, Any]) -> dict[str, None]:
    """Return special tokens that a smaller vocabulary does not have, each as not set.

    GPT-2 ends its texts with the last token of its own. The tokenizer will tell which it is now.
    """
    tokens = changed.get("vocab_size")
    ids = {name: getattr(shape, name, None) for name in _SPECIALS}
    return {
        name: None
        for name, number in ids.items()
        if isinstance(number, int) and isinstance(tokens, int) and number >= tokens
    }


def architecture_problem(overrides: Mapping[str, Any], error: Exception) -> Problem:
    """Return what transformers objects to in `model.architecture`, with the key it names."""
    text = invalid_config(error)
    named = [name for name, value in overrides.items() if name in text or repr(value) in text]
    return Problem(key=".".join(["model.architecture", *named[:1]]), what=text)


def _checked(shape: PreTrainedConfig, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return `overrides` without `model_type`; every name is a field of `shape`."""
    changed = {name: value for name, value in overrides.items() if name != "model_type"}
    known = _field_names(shape)
    problems = [
        Problem(
            key=f"model.architecture.{name}",
            what=f"{type(shape).__name__} has no such field",
            hint=nearest(name, known) or f"It has: {', '.join(sorted(known))}.",
        )
        for name in changed
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
    return {name: _widened(value, getattr(shape, name, None)) for name, value in changed.items()}


def _widened(value: Any, default: Any) -> Any:
    """Return a whole number as the fraction that a field takes: upstream tells `1` from `1.0`."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_integer and isinstance(default, float) else value


def _given(shape: PreTrainedConfig, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes `shape` differ from its class's defaults, what it derives itself left out.

    T5 derives `is_gated_act` from `feed_forward_proj`; handed on, it would outlive a change. So
    would the kinds of all layers, of which Qwen and Gemma make a list.
    """
    derived = set(type(shape)().to_dict()) - _declared(shape) - _NOT_DERIVED
    if "num_hidden_layers" in changed:
        derived.add("layer_types")
    given = shape.to_diff_dict()
    return {name: value for name, value in given.items() if name not in derived | _NOT_OF_THE_SHAPE}


_NOT_OF_THE_SHAPE = {"transformers_version", "model_type", "architectures", "dtype"}
_NOT_DERIVED = {"tie_word_embeddings", "scale_decoder_outputs"}
"""Fields that a config takes without declaring them."""


def _declared(shape: PreTrainedConfig) -> set[str]:
    return {spec.name for spec in fields(shape)} if is_dataclass(shape) else set()


def _field_names(shape: PreTrainedConfig) -> set[str]:
    return _declared(shape) | set(shape.to_dict()) | set(shape.attribute_map) | _NOT_DERIVED


def _pretrained(config: ModelConfig) -> PreTrainedConfig:
    name = config.config_name or config.name_or_path
    key = "model.config_name" if config.config_name else "model.name_or_path"
    assert name is not None, "rejected by ModelConfig.__post_init__"
    with loading(key, name):
        shape: PreTrainedConfig = AutoConfig.from_pretrained(
            name,
            revision=config.revision or "main",
            cache_dir=config.cache_dir,
            trust_remote_code=config.trust_remote_code,
        )
    if not (shape.is_encoder_decoder or is_decoder_only(shape)):
        raise ConfigError.of(
            key=key,
            what=f"{name!r} is a {shape.model_type}, which does not generate text",
            hint="Name an encoder-decoder (T5, BART, …) or a decoder-only model (GPT-2, Llama, …).",
        )
    return shape


def _of_trained_weights(shape: PreTrainedConfig, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    """Take the dropout from `overrides`; every other field is the trained weights' own.

    A difference is logged, since whoever set it expects another model. A whole description of
    another family (`model=t5_small model.name_or_path=<a BART>`) is one remark.
    """
    family = overrides.get("model_type", shape.model_type)
    if family != shape.model_type:
        log.warning(
            "ignoring model.architecture: it describes %s, and the pretrained model is %s",
            family,
            shape.model_type,
        )
        return shape
    changed = _checked(shape, overrides)
    dropout = {name: changed[name] for name in dropout_fields(shape) if name in changed}
    ignored = [*_differing(shape, {name: changed[name] for name in changed.keys() - dropout})]
    if ignored:
        log.warning(
            "the pretrained model keeps its shape, ignoring %s; set model.init=random to change it",
            ", ".join(sorted(ignored)),
        )
    try:
        for name, value in dropout.items():
            setattr(shape, name, value)
    except StrictDataclassError as error:
        raise ConfigError(architecture_problem(dropout, error)) from error
    return shape


def _differing(shape: PreTrainedConfig, wanted: Mapping[str, Any]) -> Iterator[str]:
    for name, value in wanted.items():
        own = getattr(shape, name, None)
        # LED writes one window for every layer.
        each = own if isinstance(own, list) and not isinstance(value, list) else [own]
        if any(one != value for one in each):
            yield f"model.architecture.{name}={value} has no effect on {own}"


def _local(config: ModelConfig) -> PreTrainedConfig:
    name = config.config_name or config.name_or_path
    if name and Path(name, "config.json").is_file():
        return _pretrained(config)
    raise ConfigError.of(
        key="model.architecture.model_type",
        what="is not set, and debug=tiny does not contact the Hub",
        hint="Set it, for example model.architecture.model_type=t5.",
    )


def _tiny(shape: PreTrainedConfig) -> PreTrainedConfig:
    """Return a config of the same architecture at tiny size, without dropout."""
    known = _field_names(shape)
    sizes = {name: size for name, size in _TINY_SIZES.items() if name in known}
    if is_decoder_only(shape):
        # Its positions are not extended to the rows at hand, and cost a tiny nothing.
        sizes.pop("max_position_embeddings", None)
    attention_window = getattr(shape, "attention_window", None)
    if isinstance(attention_window, list):
        sizes["attention_window"] = [_TINY_SIZES["attention_window"]] * 2
    sizes |= dict.fromkeys(dropout_fields(shape), 0.0)
    return _updated(shape, {**sizes, "vocab_size": TINY_VOCABULARY})
