"""Architecture of a model: its transformers config, from the Hub, `model.architecture`, or tiny."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from copy import deepcopy
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
    "num_sparse_encoder_layers": 1,
    "num_sparse_decoder_layers": 1,
    "encoder_sparse_step": 2,
    "decoder_sparse_step": 2,
    "rotary_dim": 4,
    "attention_types": [[["global", "local"], 1]],
}
"""Sizes of a tiny model, by the architectures' names for them; the last two are GPT-J's, and what
GPT-Neo has in place of a number of layers."""

_SPECIALS = ("bos_token_id", "eos_token_id", "pad_token_id")
_START = "decoder_start_token_id"
_VOCABULARIES = ("vocab_size", "decoder_vocab_size", "src_vocab_size", "tgt_vocab_size")
"""Marian and FSMT may have one a language; a run has one tokenizer."""

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


def writes_texts(shape: PreTrainedConfig) -> bool:
    """Return whether a model writes texts from texts, and from nothing else."""
    own_code = "AutoModelForSeq2SeqLM" in (getattr(shape, "auto_map", None) or {})
    known = own_code or shape.model_type in ENCODER_DECODERS
    return (shape.is_encoder_decoder and known) or is_decoder_only(shape)


def text_to_text_families() -> list[str]:
    """Return the `model_type` of each encoder-decoder of transformers that reads and writes text.

    Its list of them has models that listen, too.
    """
    return sorted(name for name in ENCODER_DECODERS if writes_texts(CONFIG_MAPPING[name]()))


def parts_of(shape: PreTrainedConfig) -> dict[str, PreTrainedConfig]:
    """Return the configs inside a config by their names: bert2bert and T5Gemma have one a side."""
    parts = {name: getattr(shape, name, None) for name in shape.sub_configs}
    return {name: part for name, part in parts.items() if isinstance(part, PreTrainedConfig)}


def vocabulary_size(shape: PreTrainedConfig) -> int:
    """Return the number of tokens that a model reads and writes."""
    parts = parts_of(shape)
    sides = [parts[name] for name in ("encoder", "decoder") if name in parts]
    sizes = (_vocabulary(side) for side in sides or [shape])
    return min(size for size in sizes if size is not None)


def _vocabulary(shape: PreTrainedConfig) -> int | None:
    own = getattr(shape, "vocab_size", None)
    texts = shape.get_text_config(decoder=True)
    return getattr(texts, "vocab_size", None) if own is None else own


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
    """Return the names of a config's own dropout probabilities."""
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
        some = f"There are: {', '.join(text_to_text_families())}; and many decoder-only ones, "
        raise ConfigError.of(
            key="model.architecture.model_type",
            what=f"there is no text generation architecture {model_type!r}",
            hint=nearest(model_type, sorted(known)) or some + "such as gpt2, llama, qwen3.",
        )
    shape = CONFIG_MAPPING[model_type]()
    if not writes_texts(shape):
        raise ConfigError(_not_of_texts("model.architecture.model_type", model_type))
    return _updated(shape, config.architecture)


def _updated(shape: PreTrainedConfig, overrides: Mapping[str, Any]) -> PreTrainedConfig:
    """Return a config of the same class with `overrides`, which are checked first."""
    problems = [*_unknown_fields(shape, overrides, "model.architecture")]
    if problems:
        raise ConfigError(problems)
    return _rebuilt(shape, overrides)


def _rebuilt(
    shape: PreTrainedConfig, overrides: Mapping[str, Any], key: str = "model.architecture"
) -> PreTrainedConfig:
    """Return a config of the same class with checked `overrides`, those of its parts in them."""
    inside, changed = _split(shape, overrides)
    parts = {
        name: _rebuilt(part, inside[name], f"{key}.{name}") if name in inside else deepcopy(part)
        for name, part in _parts(shape, inside).items()
    }
    tokens = changed.get("vocab_size")
    if tokens is None and "decoder" in parts:
        tokens = vocabulary_size(parts["decoder"])
    given = {**_given(shape, changed), **_beyond(shape, tokens)}
    try:
        return type(shape)(**{**given, **changed, **parts})
    except (StrictDataclassError, ValueError, TypeError) as error:
        raise ConfigError(architecture_problem(changed, error, key)) from error


def _beyond(shape: PreTrainedConfig, tokens: Any) -> dict[str, int | None]:
    """Return what takes the place of special tokens that a vocabulary of `tokens` does not have.

    GPT-2 ends its texts with the last token of its own. The tokenizer will tell which it is now.
    Marian's decoder starts with padding, which is its last token, and wants a number.
    """
    ids = {name: getattr(shape, name, None) for name in (*_SPECIALS, _START)}
    beyond: dict[str, int | None] = {
        name: None
        for name, number in ids.items()
        if isinstance(number, int) and isinstance(tokens, int) and number >= tokens
    }
    if _START in beyond:
        kept = [number for name, number in ids.items() if name not in beyond]
        beyond["pad_token_id"] = beyond[_START] = next(n for n in range(tokens) if n not in kept)
    return beyond


def architecture_problem(
    overrides: Mapping[str, Any], error: Exception, key: str = "model.architecture"
) -> Problem:
    """Return what transformers objects to in `model.architecture`, with the key it names."""
    # Upstream lists all that there are.
    text = invalid_config(error).partition(" Model type should be one of")[0]
    named = [name for name, value in overrides.items() if name in text or repr(value) in text]
    return Problem(key=".".join([key, *named[:1]]), what=text)


def _unknown_fields(
    shape: PreTrainedConfig, overrides: Mapping[str, Any], key: str
) -> Iterator[Problem]:
    """Yield each name in `overrides` that is no field of `shape`, or of one of its parts."""
    inside, changed = _split(shape, overrides)
    known = _field_names(shape)
    for name in changed:
        if name not in known:
            yield Problem(
                key=f"{key}.{name}",
                what=f"{type(shape).__name__} has no such field",
                hint=nearest(name, known) or f"It has: {', '.join(sorted(known))}.",
            )
        elif name in parts_of(shape):
            yield Problem(
                key=f"{key}.{name}",
                what="is a config of its own, and takes fields",
                hint=f"Set them, for example {key}.{name}.model_type=bert.",
            )
    for name, fields_of_part in inside.items():
        own = getattr(shape, name).model_type
        model_type = fields_of_part.get("model_type", own)
        is_open = shape.sub_configs[name] is AutoConfig
        if model_type != own and not (is_open and model_type in CONFIG_MAPPING):
            yield Problem(
                key=f"{key}.{name}.model_type",
                what=f"there is no architecture {model_type!r}"
                if is_open
                else f"is always {own} in {type(shape).__name__}",
                hint=nearest(str(model_type), [*CONFIG_MAPPING]) if is_open else "Remove it.",
            )
        else:
            part = _parts(shape, inside)[name]
            yield from _unknown_fields(part, fields_of_part, f"{key}.{name}")


def _split(
    shape: PreTrainedConfig, overrides: Mapping[str, Any]
) -> tuple[dict[str, Mapping[str, Any]], dict[str, Any]]:
    """Return the overrides of the parts of `shape` by part, and its own without `model_type`."""
    parts = parts_of(shape)
    inside, own = {}, {}
    for name, value in overrides.items():
        if name in parts and isinstance(value, Mapping):
            inside[name] = value
        elif name != "model_type":
            own[name] = _widened(value, getattr(shape, name, None))
    return inside, own


def _parts(
    shape: PreTrainedConfig, inside: Mapping[str, Mapping[str, Any]]
) -> dict[str, PreTrainedConfig]:
    """Return the parts of `shape`, each of the known architecture that `inside` names for it."""
    parts = parts_of(shape)
    for name, overrides in inside.items():
        old, model_type = parts[name], overrides.get("model_type")
        if model_type is not None and model_type != old.model_type:
            # What makes a decoder of BERT and its kin.
            role = {one: getattr(old, one) for one in _ROLE if getattr(old, one, None)}
            parts[name] = CONFIG_MAPPING[model_type](**role)
    return parts


_ROLE = ("is_decoder", "add_cross_attention")


def _widened(value: Any, default: Any) -> Any:
    """Return a whole number as the fraction that a field takes: upstream tells `1` from `1.0`."""
    is_integer = isinstance(value, int) and not isinstance(value, bool)
    return float(value) if is_integer and isinstance(default, float) else value


def _given(shape: PreTrainedConfig, changed: Mapping[str, Any]) -> dict[str, Any]:
    """Return what makes `shape` differ from its class's defaults, what it derives itself left out.

    T5 derives `is_gated_act` from `feed_forward_proj`; handed on, it would outlive a change. So
    would the kinds of all layers, of which Qwen and Gemma make a list.
    """
    derived = set(type(shape)().to_dict()) - _declared(shape) - _NOT_DERIVED - {_START}
    if "num_hidden_layers" in changed:
        derived.add("layer_types")
    left_out = derived | _NOT_OF_THE_SHAPE | set(shape.sub_configs)
    return {name: value for name, value in shape.to_diff_dict().items() if name not in left_out}


_NOT_OF_THE_SHAPE = {"transformers_version", "model_type", "architectures", "dtype"}
_NOT_DERIVED = {"tie_word_embeddings", "scale_decoder_outputs"}
"""Fields that a config takes without declaring them."""


def _declared(shape: PreTrainedConfig) -> set[str]:
    return {spec.name for spec in fields(shape)} if is_dataclass(shape) else set()


def _field_names(shape: PreTrainedConfig) -> set[str]:
    known = _declared(shape) | set(shape.to_dict()) | set(shape.attribute_map) | _NOT_DERIVED
    return known | {_START} if shape.is_encoder_decoder else known


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
    if not writes_texts(shape):
        raise ConfigError(_not_of_texts(key, shape.model_type, name))
    return shape


def _not_of_texts(key: str, model_type: str, name: str | None = None) -> Problem:
    kind = model_type if name is None else f"{name!r} is a {model_type}, which"
    return Problem(
        key=key,
        what=f"{kind} does not generate text from text alone",
        hint="Name an encoder-decoder (T5, BART, …) or a decoder-only model (GPT-2, Llama, …).",
    )


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
    problems = [*_unknown_fields(shape, overrides, "model.architecture")]
    if problems:
        raise ConfigError(problems)
    if ignored := [*_take_dropout(shape, overrides, "model.architecture")]:
        log.warning(
            "the pretrained model keeps its shape, ignoring %s; set model.init=random to change it",
            ", ".join(sorted(ignored)),
        )
    return shape


def _take_dropout(shape: PreTrainedConfig, overrides: Mapping[str, Any], key: str) -> Iterator[str]:
    """Set the dropout of `shape` and of its parts, and yield what else differs."""
    inside, changed = _split(shape, overrides)
    dropout = {name: changed[name] for name in dropout_fields(shape) if name in changed}
    try:
        for name, value in dropout.items():
            setattr(shape, name, value)
    except StrictDataclassError as error:
        raise ConfigError(architecture_problem(dropout, error, key)) from error
    yield from _differing(shape, {name: changed[name] for name in changed.keys() - dropout}, key)
    for name, fields_of_part in inside.items():
        yield from _take_dropout(getattr(shape, name), fields_of_part, f"{key}.{name}")


def _differing(shape: PreTrainedConfig, wanted: Mapping[str, Any], key: str) -> Iterator[str]:
    for name, value in wanted.items():
        own = getattr(shape, name, None)
        # LED writes one window for every layer.
        each = own if isinstance(own, list) and not isinstance(value, list) else [own]
        if any(one != value for one in each):
            yield f"{key}.{name}={value} has no effect on {own}"


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
    return _rebuilt(shape, _tiny_sizes(shape))


def _tiny_sizes(shape: PreTrainedConfig) -> dict[str, Any]:
    """Return what makes a config, and each config inside it, that of a tiny model."""
    known = _field_names(shape)
    sizes = {name: size for name, size in _TINY_SIZES.items() if name in known}
    if is_decoder_only(shape):
        # Its positions are not extended to the rows at hand, and cost a tiny nothing; nor do
        # the layers of experts.
        for name in ("max_position_embeddings", "decoder_sparse_step"):
            sizes.pop(name, None)
    attention_window = getattr(shape, "attention_window", None)
    if isinstance(attention_window, list):
        sizes["attention_window"] = [_TINY_SIZES["attention_window"]] * 2
    sizes |= dict.fromkeys(dropout_fields(shape), 0.0)
    sizes |= {name: TINY_VOCABULARY for name in _VOCABULARIES if name in known}
    return sizes | {name: _tiny_sizes(part) for name, part in parts_of(shape).items()}
