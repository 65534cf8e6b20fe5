"""Builder of model and tokenizer from the `model` group."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    EncoderDecoderModel,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from summexp.errors import ConfigError, Problem, nearest
from summexp.modeling.adapters import add_adapter, has_adapter, lora_config
from summexp.modeling.architecture import (
    architecture,
    architecture_problem,
    is_decoder_only,
    parts_of,
)
from summexp.modeling.config import ModelConfig, PeftConfig
from summexp.modeling.loading_errors import loading
from summexp.modeling.model_checks import shards_outside
from summexp.modeling.positions import check_positions, fit_positions
from summexp.modeling.tokenizers import corpus_tokenizer, pretrained_tokenizer
from summexp.modeling.weights import listed, non_finite_weights
from summexp.upstream.transformers import align_special_tokens, language_ids

log = logging.getLogger(__name__)

_START_WITH_A_LANGUAGE = ("mbart", "plbart", "m2m_100", "nllb-moe")
"""Architectures whose summaries begin with the code of their language."""


@dataclass(frozen=True)
class CorpusTexts:
    """The texts that a tokenizer may be trained on."""

    digest: str
    """Digest of their content."""
    texts: Callable[[], Iterable[str]]
    """Yields them."""


def build_tokenizer(
    config: ModelConfig, corpus: CorpusTexts, *, tiny: bool, cache_dir: Path | None
) -> tuple[PreTrainedConfig, PreTrainedTokenizerBase]:
    """Return the model's shape and its tokenizer, before any weights are made.

    The tokenizer of a decoder-only model may pad with the token that ends a text (GPT-2 has no
    other); padding is never recognized by the token alone.

    Raises:
        ConfigError: the architecture or the tokenizer is not to be had.
    """
    shape = architecture(config, tiny=tiny)
    named = config.tokenizer_name or config.name_or_path
    tokenizer: PreTrainedTokenizerBase
    if tiny or (config.init == "random" and not named):
        tokenizer = corpus_tokenizer(
            corpus.texts,
            corpus=corpus.digest,
            shape=shape,
            language=config.lang,
            first_token=config.forced_bos_token,
            cache_dir=None if tiny else cache_dir,
        )
    else:
        tokenizer = pretrained_tokenizer(config)
    if is_decoder_only(shape):
        _set_ends(tokenizer, config)
        return shape, tokenizer
    _set_languages(tokenizer, config)
    _start_token(shape, tokenizer, config)
    return shape, tokenizer


def build_model(
    config: ModelConfig,
    shape: PreTrainedConfig,
    tokenizer: PreTrainedTokenizerBase,
    *,
    seed: int,
    longest_source: int,
    longest_target: int,
    tiny: bool = False,
    peft: PeftConfig | None = None,
) -> PreTrainedModel:
    """Make or load the weights, and fit vocabulary, positions, languages, adapter, frozen parts.

    Args:
        config: the `model` group.
        shape: the model's transformers config.
        tokenizer: its tokenizer.
        seed: of random weights.
        longest_source: tokens of the longest document that will be fed.
        longest_target: tokens of the longest summary that will be fed or generated.
        tiny: random weights whatever `init` is.
        peft: which adapter to train, if one is.

    Raises:
        ConfigError: the weights cannot be loaded or do not fit, or the adapter does not fit them.
    """
    if is_decoder_only(shape):
        check_positions(shape, longest_source, longest_target)
    adapter = None
    if peft is not None and peft.name != "none":
        # Its mistakes are reported before gigabytes are loaded.
        with torch.device("meta"):
            base = replace(config, init="random") if tiny else config
            adapter = lora_config(peft, _random(config, shape), base)
    set_seed(seed)
    if tiny or config.init == "random":
        model = _random(config, shape)
    else:
        model = _pretrained(config, shape)
    if len(tokenizer) > model.get_input_embeddings().get_parameter("weight").shape[0]:
        log.info("resizing the embeddings to the tokenizer's %d tokens", len(tokenizer))
        _resize_vocabulary(model, len(tokenizer))
        if adapter is not None:
            log.warning("peft=lora does not train the embeddings of the new tokens")
    if not is_decoder_only(shape):
        _set_start_tokens(model, tokenizer, config)
        _spare_a_short_cache(model)
    fit_positions(model, longest_source, longest_target, config.resize_position_embeddings)
    _set_special_tokens(model, tokenizer)
    if adapter is not None:
        add_adapter(model, adapter, seed)
    _freeze(model, config.freeze)
    return model


def _auto_class(shape: PreTrainedConfig) -> Any:
    return AutoModelForCausalLM if is_decoder_only(shape) else AutoModelForSeq2SeqLM


def _random(config: ModelConfig, shape: PreTrainedConfig) -> PreTrainedModel:
    dtype = torch.float32 if config.dtype == "auto" else getattr(torch, config.dtype)
    try:
        model: PreTrainedModel = _auto_class(shape).from_config(
            shape,
            dtype=dtype,
            attn_implementation=config.attn_implementation,
            trust_remote_code=config.trust_remote_code,
        )
        return model
    except (ValueError, KeyError, ImportError) as error:
        # Some values are looked at only now: heads that do not divide the width, an activation.
        if "attn_implementation" in str(error) or isinstance(error, ImportError):
            problem = Problem(key="model.attn_implementation", what=" ".join(str(error).split()))
        else:
            problem = architecture_problem(config.architecture, error)
        raise ConfigError(problem) from error


def _pretrained(config: ModelConfig, shape: PreTrainedConfig) -> PreTrainedModel:
    assert config.name_or_path is not None
    if problems := [*shards_outside(Path(config.name_or_path).expanduser())]:
        raise ConfigError(problems)
    with loading("model.name_or_path", config.name_or_path):
        model: PreTrainedModel = _auto_class(shape).from_pretrained(
            config.name_or_path,
            config=shape,
            revision=config.revision or "main",
            cache_dir=config.cache_dir,
            trust_remote_code=config.trust_remote_code,
            dtype="auto" if config.dtype == "auto" else getattr(torch, config.dtype),
            attn_implementation=config.attn_implementation,
        )
    if names := non_finite_weights(model):
        half = model.dtype == torch.float16
        raise ConfigError.of(
            key="model.name_or_path",
            what=f"{config.name_or_path} has weights that are not finite (NaN or infinite): "
            f"{listed(names)}",
            hint="The range of float16 ends at 65504; load them with model.dtype=bfloat16 or "
            "float32."
            if half
            else "They come from a training that diverged; take an earlier checkpoint of it.",
        )
    return model


def _set_ends(tokenizer: PreTrainedTokenizerBase, config: ModelConfig) -> None:
    """Give a decoder-only model's tokenizer padding.

    Raises:
        ConfigError: it has no token to end a summary with.
    """
    if tokenizer.eos_token_id is None:
        key = "tokenizer_name" if config.tokenizer_name else "name_or_path"
        raise ConfigError.of(
            key=f"model.{key}",
            what="has a tokenizer without a token for the end of a text, so that no summary "
            "would ever end",
            hint="Set eos_token in the tokenizer_config.json of a local copy.",
        )
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token


def _resize_vocabulary(model: PreTrainedModel, tokens: int) -> None:
    """Let `model` know `tokens` tokens; upstream has bert2bert and its kin do it side by side."""
    sides = [model]
    if isinstance(model, EncoderDecoderModel):
        sides = [cast("PreTrainedModel", side) for side in (model.encoder, model.decoder)]
    for side in sides:
        side.resize_token_embeddings(tokens)


def _spare_a_short_cache(model: PreTrainedModel) -> None:
    """Generate without a cache where upstream (5.23) makes one that lacks layers of the decoder.

    It counts those of T5's encoder.
    """
    decoder = getattr(model.config, "num_decoder_layers", None) or 0
    if decoder > getattr(model.config, "num_hidden_layers", decoder):
        log.warning("the decoder has more layers than the encoder: generating without a cache")
        model.generation_config.use_cache = False


def _set_languages(tokenizer: PreTrainedTokenizerBase, config: ModelConfig) -> None:
    """Set the source and target language of a multilingual tokenizer."""
    if config.lang is None:
        return
    _token_id(tokenizer, config.lang, "model.lang")
    written = config.forced_bos_token or config.lang
    if written not in _language_codes(tokenizer):
        written = config.lang
    for name, language in (("src_lang", config.lang), ("tgt_lang", written)):
        if hasattr(tokenizer, name):
            setattr(tokenizer, name, language)


def _language_codes(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Return what may name a language: the tokenizer's own codes, or else its special tokens."""
    if codes := language_ids(tokenizer):
        return sorted(codes)
    with_a_role = set(tokenizer.special_tokens_map.values())
    others = set(tokenizer.all_special_tokens) - with_a_role
    # T5's marks of what was left out of a text.
    return sorted(token for token in others if "extra_id" not in token)


def _token_id(tokenizer: PreTrainedTokenizerBase, token: str, key: str) -> int:
    codes = _language_codes(tokenizer)
    number = language_ids(tokenizer).get(token)
    if number is None and (key != "model.lang" or token in codes):
        number = cast("int", tokenizer.convert_tokens_to_ids(token))
    if number is None or number == tokenizer.unk_token_id:
        what = f"the tokenizer has no language {token!r}"
        hint = _near_language(token, codes)
        if not codes:
            hint = "This model has no language tokens: remove the key (null)."
        if key != "model.lang":
            what, hint = f"the tokenizer has no token {token!r}", nearest(token, codes) or ""
        raise ConfigError.of(key=key, what=what, hint=hint or None)
    return int(number)


def _near_language(token: str, codes: Sequence[str]) -> str:
    """Return a hint at the codes that may mean the language.

    Models write one language in several ways, ko, ko_KR and kor_Hang; but ja is jpn_Jpan to NLLB,
    and jav_Latn is another language, so that a common beginning is not enough.
    """
    listed = f"It has: {', '.join(codes)}."
    alike = [code for code in codes if code[:2].lower() == token[:2].lower()]
    if alike:
        listed = f"Similar ones: {', '.join(alike)}. {listed}"
    if any(code.startswith(token) for code in codes):
        # `nearest` would name what begins so, and nothing else.
        return listed
    return nearest(token, codes) or listed


def _start_token(
    shape: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, config: ModelConfig
) -> int:
    """Return the id of the token that the decoder starts with.

    Raises:
        ConfigError: this model starts with a language, and none was named.
    """
    start = getattr(shape, "decoder_start_token_id", None)
    if start is not None:
        return int(start)
    if (decoder := parts_of(shape).get("decoder")) is not None:
        # T5Gemma starts with the beginning of a text, which BERT calls by another name.
        own = getattr(decoder, "bos_token_id", None)
        ids = [own, tokenizer.bos_token_id, tokenizer.cls_token_id, tokenizer.pad_token_id]
        return next(int(number) for number in ids if number is not None)
    if shape.model_type not in _START_WITH_A_LANGUAGE:
        # T5 and its kin start with padding, which their configs may leave out.
        pad = getattr(shape, "pad_token_id", None)
        return int(tokenizer.pad_token_id if pad is None else pad)
    if config.lang is not None:
        return _token_id(tokenizer, config.lang, "model.lang")
    raise ConfigError.of(
        key="model.lang",
        what="is not set, and this model starts a summary with a language token",
        hint="Set it to the model's code of the language, such as model.lang=en_XX.",
    )


def _set_start_tokens(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, config: ModelConfig
) -> None:
    """Set what summaries start with where transformers 5 reads it.

    A forced first token belongs in the generation config: set on `model.config`, as the old script
    does, it makes `generate` refuse to work.
    """
    own = model.generation_config
    if getattr(model.config, "decoder_start_token_id", None) is None:
        model.config.decoder_start_token_id = own.decoder_start_token_id
    if config.forced_bos_token is not None:
        forced = _token_id(tokenizer, config.forced_bos_token, "model.forced_bos_token")
        own.forced_bos_token_id = forced
    # The loss shifts the labels by the one, generation begins with the other.
    start = _start_token(model.config, tokenizer, config)
    model.config.decoder_start_token_id = own.decoder_start_token_id = start


def _set_special_tokens(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    # BERT's tokenizer has other names for the ends of a text.
    others = {"eos_token_id": tokenizer.sep_token_id, "bos_token_id": tokenizer.cls_token_id}
    for name in ("pad_token_id", "eos_token_id", "bos_token_id"):
        token = getattr(tokenizer, name)
        for config in (model.generation_config, model.config):
            if getattr(config, name, None) is None:
                setattr(config, name, others.get(name) if token is None else token)
    align_special_tokens(model, tokenizer)


def _freeze(model: PreTrainedModel, parts: list[str]) -> None:
    """Keep the weights of the named parts as they are, and what an adapter adds to them."""
    weights = [*model.named_parameters()]
    names = [name for name, _ in weights]
    trained = {name for name, weight in weights if weight.requires_grad}
    embeddings = _embeddings(model)
    for part in parts:
        if part == "embeddings":
            frozen = [name for name, weight in weights if id(weight) in embeddings]
        else:
            frozen = [name for name in names if _belongs(name, part)]
        if not frozen:
            raise ConfigError.of(
                key="model.freeze",
                what=f"no weight of the model belongs to {part!r}",
                hint=f"Its weights have names such as {', '.join(names[:3])}.",
            )
        if has_adapter(model) and not trained.intersection(frozen):
            raise ConfigError.of(
                key="model.freeze",
                what=f"{part!r} is frozen anyway: the adapter does not change it",
                hint="Remove it.",
            )
        for name in frozen:
            model.get_parameter(name).requires_grad_(False)
    if parts:
        left = sum(weight.numel() for weight in model.parameters() if weight.requires_grad)
        if not left:
            raise ConfigError.of(key="model.freeze", what="leaves no trainable weights")
        log.info("freezing %s; %s trainable weights", ", ".join(parts), f"{left:,}")


def _embeddings(model: PreTrainedModel) -> set[int]:
    """Return the identities of the weights that stand for tokens and for their places.

    T5's relative positions are biases of its attentions.
    """
    return {
        id(weight)
        for name, module in model.named_modules()
        if isinstance(module, nn.Embedding) and "relative" not in name
        for weight in module.parameters(recurse=False)
    }


def _belongs(name: str, part: str) -> bool:
    sides = ("encoder", "decoder")
    if part in sides:
        # A decoder that is a BERT has its layers in what BERT calls an encoder.
        return next((one for one in name.split(".") if one in sides), None) == part
    return fnmatch(name, part)
