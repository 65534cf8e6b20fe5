from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tests.modeling.tiny_models import DECODER_ONLY, DOCUMENTS, SUMMARIES, config, make
from tokenizers import Regex, normalizers, processors

from summexp.data.config import DataConfig
from summexp.data.tokenize import (
    Tokenizing,
    count_tokens,
    flagged_rows,
    row_lengths,
    tokenize,
    tokenize_stream,
)
from summexp.errors import ConfigError
from summexp.modeling.tokenizers import tokenizer_digest

ROWS = Dataset.from_dict(
    {
        "id": ["a", "b", "c", "d"],
        "document": [*DOCUMENTS[:3], ""],
        "summary": [SUMMARIES[0], None, SUMMARIES[2], SUMMARIES[3]],
    }
)


@pytest.fixture(scope="module")
def tokenizing() -> Tokenizing:
    tokenizer = make(config("bart")).tokenizer
    return Tokenizing(
        tokenizer=tokenizer,
        tokenizer_digest=tokenizer_digest(tokenizer),
        prefix="summarize: ",
        max_source_length=30,
        max_target_length=8,
    )


def test_rows_become_tokens(tokenizing: Tokenizing) -> None:
    tokens = tokenize(ROWS, "content", tokenizing, DataConfig(), None)
    columns = ["input_ids", "labels", "document_cut", "document_empty", "summary_cut"]
    assert tokens.column_names == columns
    decode = tokenizing.tokenizer.decode
    for row, source in zip(tokens, ROWS, strict=True):
        assert row["input_ids"][0] == 0
        assert row["input_ids"][-1] == 2
        assert len(row["input_ids"]) <= 30
        text = "summarize: " + source["document"]
        assert text.startswith(decode(row["input_ids"], skip_special_tokens=True).rstrip("\ufffd"))
        whole = tokenizing.tokenizer(text)["input_ids"]
        assert row["document_cut"] == (len(whole) > 30)
        assert len(row["labels"]) <= 8


def test_a_row_without_a_summary_or_a_document_has_no_labels(tokenizing: Tokenizing) -> None:
    tokens = tokenize(ROWS, "content", tokenizing, DataConfig(), None)
    assert [bool(labels) for labels in tokens["labels"]] == [True, False, True, False]
    assert tokens["summary_cut"][1] is False


def test_an_empty_document_still_has_its_place(tokenizing: Tokenizing) -> None:
    tokens = tokenize(ROWS, "content", replace(tokenizing, prefix=""), DataConfig(), None)
    assert tokens["input_ids"][3] == [0, 2]


@pytest.mark.parametrize("model_type", ["t5", "bart", "gpt2"])
@pytest.mark.parametrize("prefix", ["", "summarize: "])
def test_a_document_of_which_no_token_is_left_is_known(model_type: str, prefix: str) -> None:
    tokenizer = make(config(model_type)).tokenizer
    # As published tokenizers do that take out what they were not trained on.
    tokenizer.backend_tokenizer.normalizer = normalizers.Replace(Regex("[☀-⛿🌀-🫿]"), "")
    one = Tokenizing(
        tokenizer=tokenizer,
        tokenizer_digest="",
        prefix=prefix,
        max_source_length=60,
        max_target_length=20,
        target_prefix=TARGET_PREFIX if model_type == "gpt2" else None,
    )
    documents = ["☀🌧", "☀ a", "a", "", "\u3000\u200b", "🌧 \n ☀", DOCUMENTS[1], "."]
    rows = one({"document": documents, "summary": ["rain"] * len(documents)})
    empty = [True, False, False, True, True, True, False, False]
    assert rows["document_empty"] == empty
    assert [not labels for labels in rows["labels"]] == empty


def test_what_fits_exactly_is_not_cut(tokenizing: Tokenizing) -> None:
    length = len(tokenizing.tokenizer("summarize: " + DOCUMENTS[0])["input_ids"])
    for limit, cut in ((length, False), (length - 1, True)):
        shorter = replace(tokenizing, max_source_length=limit)
        tokens = tokenize(ROWS, "content", shorter, DataConfig(), None)
        assert tokens["document_cut"][0] is cut
        assert len(tokens["input_ids"][0]) == limit


@pytest.mark.parametrize("model_type", ["t5", "bart"])
@pytest.mark.parametrize("prefix", ["", "summarize: ", "요약: "])
def test_a_prefix_leaves_room_for_a_document(model_type: str, prefix: str) -> None:
    tokenizer = make(config(model_type)).tokenizer
    taken = len(tokenizer(prefix.rstrip())["input_ids"])
    one = Tokenizing(
        tokenizer=tokenizer,
        tokenizer_digest="",
        prefix=prefix,
        max_source_length=taken,
        max_target_length=20,
    )
    rows = {"document": ["rain"], "summary": ["rain"]}
    with pytest.raises(ConfigError, match=rf"is {taken}, and model.source_prefix takes"):
        one(rows)
    assert len(replace(one, max_source_length=taken + 1)(rows)["input_ids"][0]) == taken + 1


TARGET_PREFIX = "\nTL;DR:\n"


def prompting(model_type: str, **options: Any) -> Tokenizing:
    """As for a decoder-only model; Llama's texts begin with a token, and GPT-2's do not."""
    tokenizer = make(config(model_type)).tokenizer
    settings = {
        "prefix": "",
        "max_source_length": 60,
        "max_target_length": 20,
        "target_prefix": TARGET_PREFIX,
    }
    return Tokenizing(
        tokenizer=tokenizer, tokenizer_digest=tokenizer_digest(tokenizer), **{**settings, **options}
    )


@pytest.mark.parametrize("model_type", DECODER_ONLY)
@pytest.mark.parametrize("limit", [60, 18])
def test_a_prompt_keeps_its_beginning_and_its_end(model_type: str, limit: int) -> None:
    one = prompting(model_type, prefix="Read: ", max_source_length=limit)
    tokenizer = one.tokenizer
    start = [tokenizer.bos_token_id] if model_type == "llama" else []
    end = tokenizer(TARGET_PREFIX, add_special_tokens=False)["input_ids"]
    tokens = tokenize(ROWS, "content", one, DataConfig(), None)
    for row, source in zip(tokens, ROWS, strict=True):
        whole = tokenizer("Read: " + source["document"], add_special_tokens=False)["input_ids"]
        room = limit - len(start) - len(end)
        assert row["input_ids"] == [*start, *whole[:room], *end]
        assert row["document_cut"] == (len(whole) > room)
        assert tokenizer.eos_token_id not in row["input_ids"]
    assert any(tokens["document_cut"]) == (limit == 18)
    if limit == 60:
        shown = tokenizer.decode(tokens["input_ids"][1], skip_special_tokens=True)
        assert shown == f"Read: {DOCUMENTS[1]}{TARGET_PREFIX}"


def kobart() -> Tokenizing:
    """A tokenizer that adds no token to a text, as KoBART's."""
    tokenizer = make(config("bart")).tokenizer
    tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    return Tokenizing(
        tokenizer=tokenizer,
        tokenizer_digest=tokenizer_digest(tokenizer),
        prefix="",
        max_source_length=60,
        max_target_length=20,
    )


def test_a_summary_ends_where_the_tokenizer_adds_no_end_token() -> None:
    one = kobart()
    plain = one.tokenizer(SUMMARIES[2])["input_ids"]
    eos = one.tokenizer.eos_token_id
    assert eos not in plain
    for limit, kept in (
        (len(plain) + 1, len(plain)),
        (len(plain), len(plain) - 1),
        (3, 2),
        (2, 1),
        (1, 0),
    ):
        tokens = tokenize(ROWS, "c", replace(one, max_target_length=limit), DataConfig(), None)
        assert tokens["labels"][2] == [*plain[:kept], eos]
        assert tokens["summary_cut"][2] == (kept < len(plain))
        assert tokens["labels"][1] == []
    # One that is spelt out in the data is not doubled.
    one.tokenizer.split_special_tokens = False
    spelt = one({"document": ["rain"], "summary": [f"{SUMMARIES[2]}</s>"]})["labels"]
    assert spelt == [[*plain, eos]]


@pytest.mark.parametrize("model_type", ["t5", "bart", "mbart"])
@pytest.mark.parametrize("limit", [4, 60])
def test_an_end_token_that_the_tokenizer_adds_is_not_doubled(model_type: str, limit: int) -> None:
    tokenizer = make(config(model_type)).tokenizer
    one = replace(kobart(), tokenizer=tokenizer, max_target_length=limit)
    (labels,) = one({"document": ["rain"], "summary": [SUMMARIES[2]]})["labels"]
    cut = {"max_length": limit, "truncation": True}
    assert labels == tokenizer(text_target=SUMMARIES[2], **cut)["input_ids"]
    assert (labels.count(tokenizer.eos_token_id), len(labels) <= limit) == (1, True)


@pytest.mark.parametrize("model_type", DECODER_ONLY)
def test_a_summary_ends_also_if_it_is_cut(model_type: str) -> None:
    tokenizer = prompting(model_type).tokenizer
    plain = tokenizer(SUMMARIES[2], add_special_tokens=False)["input_ids"]
    eos = tokenizer.eos_token_id
    for limit, expected in (
        (len(plain) + 1, [*plain, eos]),
        (len(plain), [*plain[:-1], eos]),
        (1, [eos]),
    ):
        one = prompting(model_type, max_target_length=limit)
        tokens = tokenize(ROWS, "content", one, DataConfig(), None)
        assert tokens["labels"][2] == expected
        assert tokens["summary_cut"][2] == (len(expected) <= len(plain))
        assert tokens["labels"][1] == []
    assert tokenizer.decode(plain) == SUMMARIES[2]


def test_a_prompt_of_nothing_still_begins() -> None:
    one = prompting("gpt2", target_prefix="")
    tokens = tokenize(ROWS, "content", one, DataConfig(), None)
    assert tokens["input_ids"][3] == [one.tokenizer.eos_token_id]


def test_a_token_that_the_tokenizer_puts_behind_a_text_is_not_in_a_prompt() -> None:
    one = prompting("llama")
    ends = replace(one, tokenizer=make(config("bart")).tokenizer)
    assert ends.tokenizer("rain")["input_ids"][-1] == ends.tokenizer.eos_token_id
    (row,) = ends({"document": ["rain"], "summary": ["rain"]})["input_ids"]
    assert row[0] == ends.tokenizer.bos_token_id
    assert ends.tokenizer.eos_token_id not in row


def test_no_room_for_a_document_is_reported() -> None:
    with pytest.raises(
        ConfigError, match=r"data\.max_source_length: is 3, and model\.target_prefix"
    ):
        tokenize(ROWS, "content", prompting("gpt2", max_source_length=3), DataConfig(), None)


class Counted(Tokenizing):
    """Counts the batches that are really tokenized."""

    batches = 0

    def __call__(self, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        Counted.batches += 1
        return super().__call__(batch)


def test_the_cache_depends_on_content_and_settings(tokenizing: Tokenizing, tmp_path: Path) -> None:
    def batches(content: str, data: DataConfig | None = None, **changes: Any) -> int:
        Counted.batches = 0
        one = Counted(**{**vars(tokenizing), **changes})
        tokens = tokenize(ROWS, content, one, data or DataConfig(), tmp_path)
        assert (
            tokens["labels"][0] == one({"document": ["a"], "summary": [SUMMARIES[0]]})["labels"][0]
        )
        return Counted.batches - 1

    assert batches("one") == 1
    assert batches("one") == 0
    assert batches("two") == 1
    assert batches("one", prefix="") == 1
    assert batches("one", max_source_length=29) == 1
    assert batches("one", max_target_length=7) == 1
    assert batches("one", tokenizer_digest="other") == 1
    assert batches("one", DataConfig(overwrite_cache=True)) == 1
    assert batches("one") == 0


def test_several_processes_give_the_same(tokenizing: Tokenizing, tmp_path: Path) -> None:
    alone = tokenize(ROWS, "content", tokenizing, DataConfig(), None)
    shared = tokenize(
        ROWS, "content", tokenizing, DataConfig(preprocessing_num_workers=2), tmp_path
    )
    assert shared.to_dict() == alone.to_dict()


def test_lengths_are_the_documents_tokens(tokenizing: Tokenizing) -> None:
    tokens = tokenize(ROWS, "content", tokenizing, DataConfig(), None)
    assert row_lengths(tokens).tolist() == [len(ids) for ids in tokens["input_ids"]]
    assert row_lengths(tokens.select([2, 0])).tolist() == [
        len(tokens[number]["input_ids"]) for number in (2, 0)
    ]


def test_a_stream_gives_the_same_tokens(tokenizing: Tokenizing) -> None:
    streamed = list(tokenize_stream(ROWS.to_iterable_dataset(), tokenizing))
    whole = tokenize(ROWS, "content", tokenizing, DataConfig(), None)
    # The last row has no document, and so nothing to learn.
    assert streamed == list(whole.select_columns(["input_ids", "labels"]))[:3]


def test_a_token_is_counted_in_all_rows_of_a_selection() -> None:
    ids = [[5, 2, 2], [], [2, 7], [9]]
    tokens = Dataset.from_dict({"input_ids": ids, "labels": [[], [], [], []]})
    assert count_tokens(tokens, "input_ids", 2) == (6, 3)
    assert count_tokens(tokens.select([2, 3]), "input_ids", 2) == (3, 1)
    assert count_tokens(tokens, "input_ids", None) == (6, 0)
    assert count_tokens(tokens, "labels", 2) == (0, 0)
    assert count_tokens(tokens.select([]), "input_ids", 2) == (0, 0)


def test_flagged_rows_are_found_in_a_selection_too(tokenizing: Tokenizing) -> None:
    tokens = tokenize(ROWS, "content", tokenizing, DataConfig(), None)
    assert flagged_rows(tokens, "document_empty") == [3]
    assert flagged_rows(tokens.select([3, 0, 3]), "document_empty") == [0, 2]
    assert flagged_rows(tokens.select([]), "document_empty") == []
    assert row_lengths(tokens.select([])).tolist() == []
