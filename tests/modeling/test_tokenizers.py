from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.modeling.tiny_models import (
    ARCHITECTURES,
    DOCUMENTS,
    SUMMARIES,
    config,
    latin_t5_tokenizer,
)
from tokenizers import models
from transformers import AutoTokenizer

from summexp.modeling.architecture import architecture
from summexp.modeling.tokenizers import (
    corpus_tokenizer,
    drops_bytes,
    tokenizer_digest,
    unknown_token,
)

TEXTS = [
    "hello",
    " a space before, two  inside, one after ",
    "line\nline\n\nline\ttab\r\n",
    "안녕하세요, 세상",
    "東京特許許可局 とても",
    "สวัสดีชาวโลก",
    "🙂👩‍👩‍👧‍👦 é ﷽ ꙮ",
    "<s>struck</s> <pad> <unk> <reserved_3> ko_KR",
    "",
]


class Corpus:
    """Counts how often it is read."""

    def __init__(self, *texts: str) -> None:
        self.texts = texts or (*DOCUMENTS, *SUMMARIES)
        self.reads = 0

    def __call__(self) -> Iterator[str]:
        self.reads += 1
        yield from self.texts


def trained(model_type: str = "t5", **options: Any) -> Any:
    shape = architecture(config(model_type), tiny=True)
    given = {"corpus": "one", "shape": shape, "cache_dir": None} | options
    return corpus_tokenizer(given.pop("texts", Corpus()), **given)


@pytest.mark.parametrize("text", TEXTS)
def test_every_text_comes_back_as_it_was(text: str) -> None:
    tokenizer = trained()
    ids = tokenizer(text)["input_ids"]
    assert tokenizer.unk_token_id not in ids
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert ids[-1] == tokenizer.eos_token_id
    assert tokenizer.all_special_ids.count(ids[-1]) == 1
    assert not set(ids[:-1]) & set(tokenizer.all_special_ids)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_special_tokens_have_the_ids_of_the_config(model_type: str) -> None:
    shape = architecture(config(model_type), tiny=True)
    tokenizer = trained(model_type)
    assert tokenizer.pad_token_id == shape.pad_token_id
    assert tokenizer.eos_token_id == shape.eos_token_id
    assert len(tokenizer) <= shape.vocab_size
    bos = getattr(shape, "bos_token_id", None)
    ids = tokenizer("dog")["input_ids"]
    if bos is not None:
        assert ids[0] == tokenizer.bos_token_id == bos
    assert ids[-1] == shape.eos_token_id


def test_a_language_begins_every_text() -> None:
    tokenizer = trained("mbart", language="en_XX", first_token="ko_KR")
    tokens = tokenizer.convert_ids_to_tokens(tokenizer("dog")["input_ids"])
    assert (tokens[0], tokens[-1]) == ("ko_KR", "</s>")
    assert {"en_XX", "ko_KR"} <= set(tokenizer.all_special_tokens)


def test_special_tokens_that_the_config_does_not_name_get_free_ids() -> None:
    shape = architecture(config("t5"), tiny=True)
    shape.pad_token_id, shape.eos_token_id = None, 58_100
    tokenizer = trained(shape=shape)
    ids = {tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id}
    assert ids == {0, 1, 2}


def test_the_cache_depends_on_content(tmp_path: Path) -> None:
    texts = Corpus()
    first = trained(texts=texts, cache_dir=tmp_path)
    again = trained(texts=texts, cache_dir=tmp_path)
    assert texts.reads == 1
    assert first.get_vocab() == again.get_vocab()
    other_texts = Corpus("Quite another corpus, quite another vocabulary.")
    other = trained(texts=other_texts, corpus="two", cache_dir=tmp_path)
    assert other_texts.reads == 1
    assert other.get_vocab() != first.get_vocab()
    trained("bart", texts=texts, cache_dir=tmp_path)
    trained(texts=texts, language="ko_KR", cache_dir=tmp_path)
    assert texts.reads == 3


def test_training_is_deterministic() -> None:
    assert trained().get_vocab() == trained().get_vocab()


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_saved_and_loaded_it_cuts_the_same(model_type: str, tmp_path: Path) -> None:
    tokenizer = trained(model_type)
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    for text in TEXTS:
        assert dict(loaded(text)) == dict(tokenizer(text))
        assert loaded.decode(loaded(text)["input_ids"], skip_special_tokens=True) == text
    assert loaded.special_tokens_map == tokenizer.special_tokens_map


def test_digest_distinguishes_tokenizers() -> None:
    first, same = trained(), trained()
    other = trained(texts=Corpus("zzz zzz zzz zzz zzz"))
    assert tokenizer_digest(first) == tokenizer_digest(same)
    assert tokenizer_digest(first) != tokenizer_digest(other)


def test_bytes_that_no_text_becomes_are_known(tmp_path: Path) -> None:
    latin_t5_tokenizer().save_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    # Upstream drops the byte fallback of a SentencePiece model.
    ids = tokenizer("a 시", add_special_tokens=False)["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids) == ["▁", "a", "▁", "<unk>"]
    assert (unknown_token(tokenizer), drops_bytes(tokenizer)) == (2, True)
    assert not drops_bytes(trained())
    tokenizer.backend_tokenizer.model = models.BPE(byte_fallback=True)
    assert not drops_bytes(tokenizer)


def test_an_end_token_is_not_unknown() -> None:
    tokenizer = trained("gpt2")
    tokenizer.unk_token = tokenizer.eos_token
    assert unknown_token(tokenizer) is None
