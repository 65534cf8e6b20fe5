from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tests.modeling.tiny_models import config, make
from transformers import ByT5Tokenizer, PreTrainedTokenizerBase

from summexp.data.chunking import MINIMUM_BUDGET, Chunker, LongDocuments
from summexp.data.config import DataConfig
from summexp.data.tokenize import Tokenizing, tokenize
from summexp.errors import ConfigError
from summexp.metrics.sentences import SentenceSplitter

PREFIX = "summarize: "
ENGLISH = "The river rose for three days, and then the bridge was closed. A dog came home. " * 9
TEXTS = {
    "en": ENGLISH,
    "ko": "서울시는 내년부터 버스 요금을 올린다고 밝혔다. 요금은 천오백 원이 된다. " * 8,
    "ja": "東京の気温は三十五度を超えた。明日も暑い。" * 12,
    "th": "รถไฟสายใหม่เปิดให้บริการวันนี้ ผู้โดยสารต่อแถวยาว" * 10,
    "ar": "ارتفع النهر ثلاثة أيام. أُغلق الجسر؟ نعم، أُغلق.\n" * 10,
    "one word": "x" * 700,
    "white space": "  \n" + " " * 200 + "word " * 90 + "\u3000\t ",
    "accents": "n\u0303" + "a\u0301" * 200 + " e\u0301",
    "lines": "Doctor: How are you?\r\nPatient: Not well\r\n" * 14,
}


def fast() -> PreTrainedTokenizerBase:
    return make(config("t5")).tokenizer


TOKENIZERS: dict[str, Callable[[], PreTrainedTokenizerBase]] = {
    "fast": fast,
    "bart": lambda: make(config("bart")).tokenizer,
    "slow": ByT5Tokenizer,
}


def tokenizing(tokenizer: PreTrainedTokenizerBase, length: int, prefix: str = PREFIX) -> Tokenizing:
    return Tokenizing(
        tokenizer=tokenizer,
        tokenizer_digest="tiny",
        prefix=prefix,
        max_source_length=length,
        max_target_length=8,
    )


def chunker(
    length: int = 64,
    *,
    overlap: int | None = None,
    language: str = "en",
    tokenizer: PreTrainedTokenizerBase | None = None,
) -> Chunker:
    made = tokenizing(tokenizer or fast(), length)
    return Chunker(made, SentenceSplitter(language), overlap=overlap, label=language)


def tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> int:
    return len(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", TOKENIZERS)
@pytest.mark.parametrize(("length", "overlap"), [(40, None), (64, 0), (64, 20)])
def test_chunks_hold_the_full_text_in_order(
    name: str, kind: str, length: int, overlap: int | None
) -> None:
    tokenizer, text = TOKENIZERS[kind](), TEXTS[name]
    cut = chunker(length, overlap=overlap, language=name[:2], tokenizer=tokenizer)
    spans = list(cut.spans(text))
    assert len(spans) > 1
    assert spans[0][0] == 0
    assert spans[-1][1] == len(text)
    for (start, end, _), (after, after_end, _) in itertools.pairwise(spans):
        assert start < after <= end < after_end
        shared = tokens(tokenizer, text[:end]) - tokens(tokenizer, text[:after])
        # Where a text ends, its last letters may be other tokens.
        assert shared <= cut.overlap + 3
        if overlap == 0:
            assert after == end
    for start, end, ids in spans:
        assert len(ids) <= length
        # Nothing was cut off within a chunk.
        assert ids == tokenizer(PREFIX + text[start:end].strip())["input_ids"]


def test_cuts_are_at_the_ends_of_sentences_and_chunks_share_complete_ones() -> None:
    text = "".join(f"The river number {n} rose in May. " for n in range(30))
    for start, end, _ in chunker(150, overlap=40).spans(text):
        assert text[start:].startswith("The river")
        assert text[:end].endswith("May. ")
    spans = list(chunker(150, overlap=40).spans(text))
    shared = [text[after[0] : before[1]] for before, after in itertools.pairwise(spans)]
    fit = 40 // tokens(fast(), "The river number 10 rose in May. ")
    assert fit > 1
    assert {one.count("May.") for one in shared} == {fit}


def test_a_long_sentence_is_cut_between_words() -> None:
    text = "the river rose and " * 60
    for start, end, _ in chunker().spans(text):
        assert start == 0 or text[start - 1] == " "
        assert text[end - 1] == " "


def test_a_cut_leaves_a_letter_with_its_accent_and_its_vowel_sign() -> None:
    for name in ("accents", "th"):
        text = TEXTS[name]
        for start, end, _ in chunker(40).spans(text):
            for place in (start, end):
                assert text[place : place + 1] not in {"\u0301", "\u0303", "ิ", "้", "ู", "่"}


@pytest.mark.parametrize("count", [21, 22, 30, 41])
def test_chunks_are_of_like_length(count: int) -> None:
    text = "The dog came home today. " * count
    lengths = [len(ids) for _, _, ids in chunker(100, overlap=0).spans(text)]
    assert max(lengths) - min(lengths) <= 2 * tokens(fast(), "The dog came home today. ")


def test_what_fits_is_one_chunk() -> None:
    cut = chunker(100)
    assert list(cut.spans("A dog.")) == [(0, 6, fast()(f"{PREFIX}A dog.")["input_ids"])]
    assert cut.chunks("") == [fast()(PREFIX)["input_ids"]]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_white_space_alone_is_no_chunk(kind: str) -> None:
    tokenizer = TOKENIZERS[kind]()
    cut = chunker(40, overlap=0, tokenizer=tokenizer)
    dog, cat = (tokenizer(f"{PREFIX}A {one}.")["input_ids"] for one in ("dog", "cat"))
    assert cut.chunks(" " * 300 + "A dog." + "\n" * 300) == [dog]
    assert cut.chunks("A dog." + "\n" * 300 + "A cat.") == [dog, cat]


def test_the_room_is_what_prefix_and_special_tokens_leave() -> None:
    tokenizer = fast()
    cut = chunker(64, tokenizer=tokenizer)
    assert cut.budget == 64 - len(tokenizer(PREFIX)["input_ids"])
    assert cut.overlap == cut.budget // 8


def test_too_little_room_is_reported() -> None:
    taken = len(fast()(PREFIX)["input_ids"])
    with pytest.raises(
        ConfigError, match=r"data\.max_source_length: is 20, which leaves"
    ) as raised:
        chunker(20)
    assert f"at least {taken + MINIMUM_BUDGET}" in str(raised.value)
    chunker(taken + MINIMUM_BUDGET)
    with pytest.raises(ConfigError, match=r"data\.chunk_overlap: is 32, more than half of the"):
        chunker(64, overlap=32)


def test_summaries_that_fit_are_joined_to_one() -> None:
    tokenizer = fast()
    merged = chunker(64).merge(["The river rose.", "", "버스 요금"])
    assert merged == [tokenizer(f"{PREFIX}The river rose. 버스 요금")["input_ids"]]


def test_summaries_as_long_as_their_chunks_are_cut_to_equal_shares() -> None:
    tokenizer = fast()
    summaries = [f"{word} " + "river dog bridge " * 20 for word in ("first", "second", "third")]
    (ids,) = chunker(64).merge(summaries)
    assert len(ids) <= 64
    decoded = tokenizer.decode(ids, skip_special_tokens=True)
    assert all(word in decoded for word in ("first", "second", "third"))


@pytest.mark.parametrize("length", [40, 64])
@pytest.mark.parametrize("count", [2, 5, 40])
def test_each_round_has_fewer_chunks(length: int, count: int) -> None:
    cut = chunker(length)
    for text in ("", "a", "river dog bridge " * 9, TEXTS["one word"]):
        chunks = cut.merge([text] * count)
        assert 1 <= len(chunks) < count
        assert all(len(ids) <= length for ids in chunks)


def test_chunks_are_cached_by_content_and_settings(tmp_path: Path) -> None:
    rows = Dataset.from_dict({"document": [ENGLISH, TEXTS["ko"]], "summary": [None, "b"]})
    calls: list[int] = []

    class Counted(Chunker):
        def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
            calls.append(len(batch["document"]))
            return super().__call__(batch)

    def made(overlap: int | None) -> LongDocuments:
        splitter = SentenceSplitter("en")
        cut = Counted(tokenizing(fast(), 64), splitter, overlap=overlap, label="en")
        return LongDocuments.of([3, 7], tokenize(rows, "c", cut, DataConfig(), tmp_path), cut)

    first, again = made(None), made(None)
    assert calls == [2]
    made(0)
    assert calls == [2, 2]
    cut = chunker(64)
    expected = [cut.chunks(ENGLISH), cut.chunks(TEXTS["ko"])]
    assert first.counts == again.counts == {3: len(expected[0]), 7: len(expected[1])}
    assert again.chunks["input_ids"] == [*expected[0], *expected[1]]
    assert first.remark() == f"{len(expected[0])} to {len(expected[1])}"


@pytest.mark.parametrize("overlap", [-1, 33])
def test_an_impossible_overlap_is_reported_before_anything_is_loaded(overlap: int) -> None:
    with pytest.raises(ConfigError, match=f"from 0 to half of .*, not {overlap}"):
        DataConfig(max_source_length=64, long_documents="chunk", chunk_overlap=overlap)
    DataConfig(max_source_length=64, long_documents="chunk", chunk_overlap=32)
    with pytest.raises(ConfigError, match=r"has no effect with data\.long_documents=truncate"):
        DataConfig(chunk_overlap=32)
