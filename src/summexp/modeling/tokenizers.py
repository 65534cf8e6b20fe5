"""Tokenizers: loaded with a model, or trained on the corpus for random weights."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable
from pathlib import Path

import tokenizers
from filelock import FileLock
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import (
    AutoTokenizer,
    PreTrainedConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from summexp.data.cache import cache_key, with_cache
from summexp.errors import ConfigError, Problem
from summexp.modeling.architecture import parts_of, vocabulary_size
from summexp.modeling.config import ModelConfig
from summexp.modeling.loading_errors import loading
from summexp.upstream.transformers import language_marks

log = logging.getLogger(__name__)

_RESERVED = 16
"""A trained tokenizer's special tokens lie below this id, even if the config names higher ones."""

_FEWEST_WORDS = 10

_SPECIALS = {"pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>", "bos_token": "<s>"}


def pretrained_tokenizer(config: ModelConfig) -> PreTrainedTokenizerBase:
    """Load the tokenizer that `model.tokenizer_name` or `model.name_or_path` names.

    Raises:
        ConfigError: it cannot be loaded, or needs a language.
    """
    name = config.tokenizer_name or config.name_or_path
    assert name is not None
    key = "model.tokenizer_name" if config.tokenizer_name else "model.name_or_path"
    with loading(key, name):
        tokenizer = AutoTokenizer.from_pretrained(
            name,
            use_fast=config.use_fast_tokenizer,
            revision=config.revision or "main",
            cache_dir=config.cache_dir,
            trust_remote_code=config.trust_remote_code,
        )
        # Where the files are missing, transformers 5 makes one that knows no words.
        if len(set(tokenizer.get_vocab()) - set(tokenizer.all_special_tokens)) < _FEWEST_WORDS:
            raise OSError("it has no tokenizer")
    _make_languages_special(tokenizer)
    if config.lang is None and getattr(tokenizer, "tgt_lang", "") is None:
        raise ConfigError(_no_language(tokenizer))
    return tokenizer


def _make_languages_special(tokenizer: PreTrainedTokenizerBase) -> None:
    """Let M2M100's marks of languages count as special tokens, so that no decoded text has them.

    Upstream (5.23) means to, by a condition that is never true; they are special only where the
    tokenizer's files list them. Its length, which the embeddings are held against, then counts
    them too.
    """
    marks = language_marks(tokenizer)
    # Added tokens get the next ids, which have to be those that the model knows.
    if list(marks.values()) == list(range(len(tokenizer), len(tokenizer) + len(marks))):
        tokenizer.add_special_tokens(
            {"extra_special_tokens": [*tokenizer.extra_special_tokens, *marks]}
        )


def _no_language(tokenizer: PreTrainedTokenizerBase) -> Problem:
    """Raise that summaries have to be marked with their language.

    Upstream (5.23) takes NLLB's to be English without a word, and fails on M2M100's.
    """
    return Problem(
        key="model.lang",
        what="is not set, and this model's tokenizer marks each text with its language",
        hint=f"Set it to the model's code of the language, such as model.lang={tokenizer.src_lang}",
    )


def corpus_tokenizer(
    texts: Callable[[], Iterable[str]],
    *,
    corpus: str,
    shape: PreTrainedConfig,
    language: str | None = None,
    first_token: str | None = None,
    cache_dir: Path | None,
) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE tokenizer trained on a corpus.

    It knows every text in every script, and gives each back as it was, special tokens that are
    spelt out in the text included.

    Args:
        texts: the corpus; called only if the tokenizer is not in the cache.
        corpus: the corpus's content digest, which names the tokenizer in the cache.
        shape: the model's config: its vocabulary size, and the ids of its special tokens.
        language: code of the text's language, which becomes a special token.
        first_token: special token that every text begins with, in place of the model's own if any.
        cache_dir: where trained tokenizers are kept by content; None to keep nothing.
    """
    specials = _special_tokens(shape)
    extras = [*dict.fromkeys(one for one in (language, first_token) if one)]
    untrained = _untrained(specials, extras, first_token, ends=shape.is_encoder_decoder)
    vocabulary = vocabulary_size(shape)
    trainer = _trainer(specials, extras, vocabulary)
    settings = [corpus, untrained.to_str(), vocabulary, specials, tokenizers.__version__]
    digest = cache_key(*settings)

    def uncached() -> Tokenizer:
        untrained.train_from_iterator(texts(), trainer)
        return untrained

    def cached(cache: Path) -> Tokenizer:
        file = cache / "tokenizers" / f"{digest}.json"
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            with FileLock(f"{file}.lock"):
                if not file.exists():
                    _save(uncached(), file)
        return Tokenizer.from_file(str(file))

    return _wrapped(with_cache(cache_dir, cached, uncached), specials, extras)


def _save(tokenizer: Tokenizer, file: Path) -> None:
    draft = file.with_suffix(".draft")
    try:
        tokenizer.save(str(draft))
        draft.replace(file)
    finally:
        draft.unlink(missing_ok=True)


def tokenizer_digest(tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a digest of all that decides how `tokenizer` cuts a text."""
    if tokenizer.is_fast:
        content = tokenizer.backend_tokenizer.to_str()
    else:
        content = json.dumps(tokenizer.get_vocab(), sort_keys=True)
    languages = [getattr(tokenizer, name, None) for name in ("src_lang", "tgt_lang")]
    described = json.dumps([type(tokenizer).__name__, languages, content])
    return hashlib.blake2b(described.encode(), digest_size=16).hexdigest()


def unknown_token(tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Return the ID of the token that stands for what the vocabulary lacks.

    None where every text has tokens: GPT-2 and others name the end token as the unknown one.
    """
    number = tokenizer.unk_token_id
    others = (tokenizer.bos_token_id, tokenizer.eos_token_id, tokenizer.pad_token_id)
    return None if number in others else number


def drops_bytes(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the vocabulary has a token for every byte, and none of them is ever used.

    A SentencePiece model with byte fallback writes unknown characters in these; transformers
    (5.23) makes tokenizers of T5, mBART and others from such a model that do not.
    """
    if not tokenizer.is_fast or any(
        f"<0x{byte:02X}>" not in tokenizer.get_vocab() for byte in range(256)
    ):
        return False
    return not json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("byte_fallback")


def _special_tokens(shape: PreTrainedConfig) -> dict[str, int]:
    """Return special tokens by the ids that the model's config gives them, or by free ones."""
    ids: dict[str, int] = {}
    decoder = parts_of(shape).get("decoder")
    for name in ("pad_token", "eos_token", "bos_token"):
        number = getattr(shape, f"{name}_id", None)
        if number is None:
            number = getattr(decoder, f"{name}_id", None)
        if isinstance(number, int) and number < _RESERVED and number not in ids.values():
            ids[name] = number
    for name in ("pad_token", "eos_token", "unk_token"):
        if name not in ids:
            ids[name] = next(free for free in range(_RESERVED) if free not in ids.values())
    return ids


def _reserved(specials: dict[str, int]) -> list[str]:
    """Return the tokens of the first ids, in order."""
    by_id = {number: _SPECIALS[name] for name, number in specials.items()}
    return [by_id.get(number, f"<reserved_{number}>") for number in range(max(by_id) + 1)]


def _untrained(
    specials: dict[str, int], extras: list[str], first_token: str | None, *, ends: bool
) -> Tokenizer:
    """Return a tokenizer without a vocabulary, complete otherwise.

    Without the usual space before the first word, a text comes back from its tokens as it was.

    Args:
        specials: names of the special tokens to ids.
        extras: more special tokens.
        first_token: what a text begins with in place of the model's own token.
        ends: whether a text ends with a token; that of a decoder-only model may go on.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokens = [*_reserved(specials), *extras]
    start = first_token or (_SPECIALS["bos_token"] if "bos_token" in specials else "")
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {_SPECIALS['eos_token'] if ends else ''}".strip(),
        special_tokens=[(token, number) for number, token in enumerate(tokens)],
    )
    return tokenizer


def _trainer(specials: dict[str, int], extras: list[str], vocabulary: int) -> trainers.BpeTrainer:
    return trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[*_reserved(specials), *extras],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )


def _wrapped(
    tokenizer: Tokenizer, specials: dict[str, int], extras: list[str]
) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        clean_up_tokenization_spaces=False,
        extra_special_tokens=[AddedToken(token, special=True) for token in extras],
        # A `<s>` in a document is three characters of it, and not the beginning of a text.
        split_special_tokens=True,
        **{name: _SPECIALS[name] for name in specials},
    )
