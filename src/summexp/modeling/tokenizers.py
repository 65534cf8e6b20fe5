"""The tokenizer: a model's own, or one trained on the run's corpus for a model from random weights."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

from filelock import FileLock
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from summexp.modeling.config import ModelConfig
from summexp.modeling.hub import loading

log = logging.getLogger(__name__)

_SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}


def pretrained_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer that `model.tokenizer_name` or `model.name_or_path` names.

    Raises:
        ConfigError: it cannot be loaded.
    """
    name = config.tokenizer_name or config.name_or_path
    assert name is not None
    key = "model.tokenizer_name" if config.tokenizer_name else "model.name_or_path"
    with loading(key, name):
        return AutoTokenizer.from_pretrained(
            name,
            use_fast=config.use_fast_tokenizer,
            revision=config.revision or "main",
            cache_dir=config.cache_dir,
            trust_remote_code=config.trust_remote_code,
        )


def corpus_tokenizer(
    texts: Callable[[], Iterable[str]],
    *,
    corpus: str,
    shape: PreTrainedConfig,
    extra_tokens: Iterable[str] = (),
    cache_dir: Path | None,
) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on a corpus; it knows every text in every script.

    Args:
        texts: the corpus; called only if the tokenizer is not in the cache.
        corpus: the corpus's content digest, which names the tokenizer in the cache.
        shape: the model's config: its vocabulary size, and the ids of its special tokens.
        extra_tokens: further special tokens, such as language codes.
        cache_dir: where trained tokenizers are kept by content; None to keep nothing.
    """
    specials = _special_tokens(shape)
    settings = [corpus, shape.vocab_size, specials, sorted(extra_tokens)]
    if cache_dir is None:
        return _wrapped(_train(texts(), shape, specials, extra_tokens), specials, extra_tokens)
    digest = hashlib.blake2b(json.dumps(settings).encode(), digest_size=16).hexdigest()
    file = cache_dir / "tokenizers" / f"{digest}.json"
    file.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{file}.lock"):
        if not file.exists():
            draft = file.with_suffix(".draft")
            _train(texts(), shape, specials, extra_tokens).save(str(draft))
            draft.replace(file)
    return _wrapped(Tokenizer.from_file(str(file)), specials, extra_tokens)


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a digest of all that decides how `tokenizer` cuts a text."""
    if tokenizer.is_fast:
        content = tokenizer.backend_tokenizer.to_str()
    else:
        content = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    languages = [getattr(tokenizer, name, None) for name in ("src_lang", "tgt_lang")]
    described = json.dumps([type(tokenizer).__name__, languages, content])
    return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


def _special_tokens(shape: PreTrainedConfig) -> dict[str, int]:
    """Return special tokens by the ids that the model's config gives them; `<unk>` takes a free one."""
    ids: dict[str, int] = {}
    for name in ("pad_token", "eos_token", "bos_token"):
        number = getattr(shape, f"{name}_id", None)
        if number is not None and number < 16 and number not in ids.values():
            ids[name] = number
    ids["unk_token"] = next(number for number in range(16) if number not in ids.values())
    return ids


def _train(
    texts: Iterable[str],
    shape: PreTrainedConfig,
    specials: dict[str, int],
    extra_tokens: Iterable[str],
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    by_id = {number: _SPECIALS[name] for name, number in specials.items()}
    reserved = [by_id.get(number, f"<reserved_{number}>") for number in range(max(by_id) + 1)]
    extras = list(extra_tokens)
    trainer = trainers.BpeTrainer(
        vocab_size=shape.vocab_size,
        special_tokens=[*reserved, *extras],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    start = "<s> " if "bos_token" in specials else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start}$A </s>",
        special_tokens=[(_SPECIALS[name], number) for name, number in specials.items()],
    )
    return tokenizer


def _wrapped(
    tokenizer: Tokenizer, specials: dict[str, int], extra_tokens: Iterable[str]
) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        additional_special_tokens=[AddedToken(token) for token in extra_tokens],
        **{name: _SPECIALS[name] for name in specials},
    )
