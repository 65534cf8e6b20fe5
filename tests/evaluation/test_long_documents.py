from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from datasets import Dataset
from tests.engines.jobs import text
from tests.evaluation.test_evaluate import evaluation_set, settings
from tests.modeling.tiny_models import Tiny, config, make, make_loud

from summexp.data.chunking import Chunker, LongDocuments
from summexp.data.collate import build_collator
from summexp.data.config import DataConfig
from summexp.data.tokenize import Tokenizing
from summexp.evaluation.evaluate import EvaluationResult, EvaluationSet, evaluate
from summexp.evaluation.long_documents import Summary, summarize_long
from summexp.metrics.sentences import SentenceSplitter

LENGTH = 40
LONG = "".join(f"The dog of house {n} ran away. " for n in range(40)) + "The last word is goat."
DOCUMENTS = [text(0, 3), LONG, text(2, 5), "버스 요금 " * 60, text(4, 1)]


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    tiny = make(config("t5"))
    make_loud(tiny.model)
    return tiny


def chunker(tiny: Tiny) -> Chunker:
    tokenizing = Tokenizing(
        tokenizer=tiny.tokenizer,
        tokenizer_digest="tiny",
        prefix="",
        max_source_length=LENGTH,
        max_target_length=8,
    )
    return Chunker(tokenizing, SentenceSplitter("en"), overlap=None, label="en")


def long_documents(tiny: Tiny, documents: dict[int, str]) -> LongDocuments:
    cut = chunker(tiny)
    chunks = Dataset.from_dict(cut({"document": list(documents.values())}))
    return LongDocuments.of(list(documents), chunks, cut)


def rows(tiny: Tiny, *, chunk: bool) -> EvaluationSet:
    references = ["river", "goat", None, "요금", "dog"]
    found = evaluation_set(tiny, references, DOCUMENTS)
    ids = [row[:LENGTH] for row in found.tokens["input_ids"]]
    tokens = found.tokens.remove_columns("input_ids").add_column("input_ids", ids)
    long = long_documents(tiny, {1: LONG, 3: DOCUMENTS[3]}) if chunk else None
    return replace(found, tokens=tokens, long=long)


def evaluated(tiny: Tiny, rows: EvaluationSet, **options: Any) -> EvaluationResult:
    collate = build_collator(tiny.tokenizer, tiny.model, DataConfig())
    return evaluate(tiny.model, tiny.tokenizer, collate, rows, settings(tiny, **options))


def test_what_the_end_reports_reaches_the_summary(tiny: Tiny) -> None:
    """A model that says the first and the last words that it reads."""
    read: list[str] = []

    def summarize(chunks: Dataset) -> dict[int, Summary]:
        texts = tiny.tokenizer.batch_decode(list(chunks["input_ids"]), skip_special_tokens=True)
        read.extend(texts)
        summaries = [" ".join([*one.split()[:2], *one.split()[-2:]]) for one in texts]
        return {number: Summary(one, len(one)) for number, one in enumerate(summaries)}

    rounds: list[int] = []
    long = long_documents(tiny, {4: LONG, 9: DOCUMENTS[3]})
    found = summarize_long(long, summarize, rounds.append)
    assert found[4].text == "The dog is goat."
    assert found[9].text == "버스 요금 버스 요금"
    assert rounds[-1] == 0
    assert len(long.chunks) > rounds[0] > rounds[-2] > 0
    assert len(read) == len(long.chunks) + sum(rounds)


def test_it_ends_where_summaries_are_as_long_as_what_they_are_of(tiny: Tiny) -> None:
    def repeat(chunks: Dataset) -> dict[int, Summary]:
        return {number: Summary("river dog bridge " * 30, 1) for number in range(len(chunks))}

    rounds: list[int] = []
    long = long_documents(tiny, {0: LONG, 1: "A dog. " * 12})
    assert set(summarize_long(long, repeat, rounds.append)) == {0, 1}
    # What does not shrink is cut at once.
    assert rounds == [2, 0]


@pytest.mark.parametrize(
    ("sort", "generation"), [(True, {}), (False, {"do_sample": True, "temperature": 2.0})]
)
def test_short_documents_are_summarised_as_ever(
    tiny: Tiny, sort: bool, generation: dict[str, Any]
) -> None:
    options = {"sort_by_length": sort}
    cut = evaluated(tiny, rows(tiny, chunk=False), **options, generation=dict(generation))
    chunks = evaluated(tiny, rows(tiny, chunk=True), **options, generation=dict(generation))
    if generation:
        again = evaluated(tiny, rows(tiny, chunk=True), **options, generation=dict(generation))
        assert again.predictions == chunks.predictions
    for row in range(5):
        assert (chunks.predictions[row] == cut.predictions[row]) is (row not in (1, 3))
    assert chunks.metrics["eval_loss"] == cut.metrics["eval_loss"]
    assert len(chunks.row_scores["rouge1"]) == 4


@pytest.mark.slow
def test_chunks_are_summarised_as_documents_are(tiny: Tiny) -> None:
    """By hand, one after the other."""
    cut = chunker(tiny)

    def summary_of(ids: list[int]) -> str:
        one = evaluation_set(tiny, [None], ["x"])
        tokens = Dataset.from_dict({"input_ids": [ids], "labels": [[]]})
        return evaluated(tiny, replace(one, tokens=tokens)).predictions[0]

    chunks = cut.chunks(LONG)
    while len(chunks) > 1:
        chunks = cut.merge([summary_of(ids) for ids in chunks])
    assert evaluated(tiny, rows(tiny, chunk=True)).predictions[1] == summary_of(chunks[0])


def test_progress_counts_chunks_too(tiny: Tiny) -> None:
    done: list[int] = []
    more: list[int] = []
    chunked = rows(tiny, chunk=True)
    assert chunked.long is not None
    collate = build_collator(tiny.tokenizer, tiny.model, DataConfig())
    evaluate(
        *(tiny.model, tiny.tokenizer, collate, chunked, settings(tiny)), done.append, more.append
    )
    assert more[0] == len(chunked.long.chunks)
    assert sum(done) == 5 + sum(more)


def test_without_generation_no_chunk_is_read(tiny: Tiny) -> None:
    whole = evaluated(tiny, rows(tiny, chunk=True), generate=False)
    assert whole.predictions == []


def test_led_gives_each_chunk_global_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    led = make(config("led"))
    seen: list[int] = []
    encoder = led.model.get_encoder()
    real = encoder.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(len(kwargs["global_attention_mask"]))
        assert kwargs["global_attention_mask"][:, 0].eq(1).all()
        return real(*args, **kwargs)

    monkeypatch.setattr(encoder, "forward", watched)
    chunked = rows(led, chunk=True)
    assert chunked.long is not None
    evaluated(led, chunked)
    assert sum(seen) > len(chunked.long.chunks)
