from __future__ import annotations

import itertools
import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from datasets import Dataset
from datasets.arrow_dataset import Column
from tests.engines.jobs import source, target, text
from tests.modeling.tiny_models import Tiny, config, make
from torch.nn import functional
from transformers import GenerationConfig
from transformers.trainer_pt_utils import LabelSmoother

from summexp.data.collate import build_collator
from summexp.data.columns import EMPTY_DOCUMENT
from summexp.data.config import DataConfig
from summexp.evaluation.evaluate import (
    NO_TOKENS,
    EvaluationResult,
    EvaluationSet,
    EvaluationSettings,
    batch_rows,
    evaluate,
    row_references,
)
from summexp.metrics.config import MetricConfig
from summexp.metrics.score import Baseline
from summexp.metrics.scorer import SummaryScorer

REFERENCES: list[str | None] = [
    "river bridge", "dog", None, "rain snow road", "", "goat", "mill night harbour lamp", "dog dog"
]  # fmt: skip
DOCUMENTS = [text(number, 1 + number * 5 % 7) for number in range(7)] + [""]
SCORED = (0, 1, 3, 5, 6)
"""The rows with both."""


def evaluation_set(
    tiny: Tiny,
    references: Sequence[str | None] = REFERENCES,
    documents: Sequence[str] = DOCUMENTS,
) -> EvaluationSet:
    rows = Dataset.from_dict(
        {
            "id": [str(number) for number in range(len(documents))],
            "document": list(documents),
            "summary": list(references),
        }
    )
    tokens = Dataset.from_dict(
        {
            "input_ids": [source(tiny, one) for one in documents],
            "labels": [
                target(tiny, one) if one and document else []
                for one, document in zip(references, documents, strict=True)
            ],
        }
    )
    known = [one for one in references if one]
    scorer = SummaryScorer(MetricConfig(), language="en", references=known) if known else None
    return EvaluationSet("eval", rows, tokens, scorer, Baseline("lead1", {"rougeL": 12.5}))


def settings(tiny: Tiny, **options: Any) -> EvaluationSettings:
    length = "max_length" if tiny.model.config.is_encoder_decoder else "max_new_tokens"
    generation = GenerationConfig(
        **{length: 8},
        decoder_start_token_id=getattr(tiny.model.config, "decoder_start_token_id", None),
        pad_token_id=tiny.tokenizer.pad_token_id,
        eos_token_id=tiny.tokenizer.eos_token_id,
        **options.pop("generation", {}),
    )
    given = {
        "batch_rows": 3,
        "batch_tokens": None,
        "sort_by_length": True,
        "generate": True,
        **options,
    }
    return EvaluationSettings(generation=generation, **given)


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    tiny = make(config("t5"))
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in tiny.model.parameters():
            # Loud enough to say something else of each document.
            weight.normal_(0, 0.3)
    return tiny


def evaluated(tiny: Tiny, rows: EvaluationSet | None = None, **options: Any) -> EvaluationResult:
    collate = build_collator(tiny.tokenizer, tiny.model, DataConfig())
    return evaluate(
        tiny.model, tiny.tokenizer, collate, rows or evaluation_set(tiny), settings(tiny, **options)
    )


def alone(tiny: Tiny, document: str) -> str:
    """What is generated for a document without any other beside it."""
    ids = torch.tensor([tiny.tokenizer(document)["input_ids"]])
    generated = tiny.model.eval().generate(ids, generation_config=settings(tiny).generation)
    return tiny.tokenizer.decode(generated[0], skip_special_tokens=True).strip()


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("batch_tokens", [None, 60])
def test_predictions_keep_the_order_of_the_rows(
    tiny: Tiny, sort: bool, batch_tokens: int | None
) -> None:
    found = evaluated(tiny, sort_by_length=sort, batch_tokens=batch_tokens)
    assert found.predictions == [alone(tiny, document) for document in DOCUMENTS[:7]] + [""]
    assert len(set(found.predictions)) > 1


@pytest.mark.parametrize("sort", [True, False])
def test_the_loss_is_the_mean_over_all_target_tokens(tiny: Tiny, sort: bool) -> None:
    total, count = 0.0, 0
    for document, reference in zip(DOCUMENTS, REFERENCES, strict=True):
        if not (document and reference):
            continue
        ids = torch.tensor([tiny.tokenizer(document)["input_ids"]])
        labels = torch.tensor([tiny.tokenizer(reference)["input_ids"]])
        with torch.no_grad():
            logits = tiny.model(input_ids=ids, labels=labels).logits
        total += functional.cross_entropy(logits[0], labels[0], reduction="sum").item()
        count += labels.numel()
    found = evaluated(tiny, sort_by_length=sort, generate=False)
    assert found.metrics["eval_loss"] == pytest.approx(total / count, rel=1e-6)


def test_upstreams_loss_counts_each_batch_alike(tiny: Tiny) -> None:
    """The last one is short, and rows without a reference move no other into another batch."""
    rows = evaluation_set(tiny)
    with_reference = [number for number, labels in enumerate(rows.tokens["labels"]) if labels]
    collate = build_collator(tiny.tokenizer, tiny.model, DataConfig())
    means = []
    for start in (0, 4):
        batch = collate([rows.tokens[number] for number in with_reference[start : start + 4]])
        with torch.no_grad():
            means.append(tiny.model(**batch).loss.item())
    options = {"batch_rows": 4, "sort_by_length": False, "generate": False}
    found = evaluated(tiny, rows, mean_of_batches=True, **options)
    assert len(with_reference) == 5
    assert found.metrics["eval_loss"] == pytest.approx(sum(means) / 2, rel=1e-6)


def test_the_loss_may_be_smoothed(tiny: Tiny) -> None:
    rows = evaluation_set(tiny, [one or "lamp" for one in REFERENCES])
    batch = build_collator(tiny.tokenizer, tiny.model, DataConfig())(
        [rows.tokens[n] for n in range(7)]
    )
    with torch.no_grad():
        logits = tiny.model(**batch).logits
    smoothed = LabelSmoother(epsilon=0.2)({"logits": logits}, batch["labels"]).item()
    found = evaluated(tiny, rows, batch_rows=8, generate=False, label_smoothing=0.2)
    assert found.metrics["eval_loss"] == pytest.approx(smoothed, rel=1e-6)


def test_the_length_is_that_of_the_scored_rows(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    lengths = {row: 2 + row % 4 for row in range(8)}
    order = iter([*SCORED, 2, 4])

    def generate(*_args: object, input_ids: torch.Tensor, **_kwargs: object) -> torch.Tensor:
        made = torch.full((len(input_ids), 8), tiny.tokenizer.pad_token_id)
        for one in made:
            one[: lengths[next(order)]] = tiny.tokenizer.unk_token_id
        return made

    monkeypatch.setattr(tiny.model, "generate", generate)
    found = evaluated(tiny, sort_by_length=False)
    scored = [lengths[row] for row in SCORED]
    assert found.metrics["eval_gen_len"] == pytest.approx(sum(scored) / len(scored))


def test_row_scores_belong_to_the_scored_rows(tiny: Tiny, monkeypatch: pytest.MonkeyPatch) -> None:
    """The model is made to say what it was asked for in all rows but one."""
    expected = [
        "river bridge",
        "dog",
        "goat",
        "rain snow road",
        "goat",
        "lamp",
        REFERENCES[6],
        "",
    ]
    # Rows that are not scored come last, and row 7 is not asked for.
    answers = iter([expected[row] for row in (*SCORED, 2, 4)])
    monkeypatch.setattr(
        tiny.tokenizer, "batch_decode", lambda ids, **_: [next(answers) for _ in ids]
    )
    found = evaluated(tiny, sort_by_length=False)
    assert found.predictions == expected
    # Rows 2 and 4 have no reference, row 7 no document, row 5 is wrong.
    assert found.row_scores["rouge1"] == [100, 100, 100, 0, 100]
    assert found.metrics["eval_rouge1"] == 80
    assert found.metrics["eval_scored"] == len(SCORED)
    assert found.metrics["eval_skipped"] == 1
    assert found.metrics["eval_lead1_rougeL"] == 12.5


def test_where_every_document_is_empty_nothing_is_generated(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tiny.model, "generate", None)
    rows = evaluation_set(tiny, ["dog", None, "goat"], ["", "\u3000\u200b", "\n"])
    found = evaluated(tiny, replace(rows, scorer=None, baseline=None))
    assert found.predictions == ["", "", ""]
    assert (found.metrics["eval_skipped"], found.metrics["eval_scored"]) == (3, 0)
    assert not [name for name in found.metrics if "rouge" in name or "loss" in name]


def test_a_document_without_tokens_is_skipped_for_another_reason(tiny: Tiny) -> None:
    rows = evaluation_set(tiny)
    empty = [number in (1, 7) for number in range(8)]
    rows = replace(rows, tokens=rows.tokens.add_column("document_empty", empty))
    assert rows.skipped == {1: NO_TOKENS, 7: EMPTY_DOCUMENT}
    assert rows.scored == [0, 3, 5, 6]
    assert evaluated(tiny, rows).predictions[1] == ""


def test_several_references_and_the_documents_reach_the_scorer(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = evaluation_set(tiny, ["river", None, "dog", *REFERENCES[3:]])
    several = [["river", "a lamp"], [], *[[]] * 6]
    config = MetricConfig(names=["rouge", "novelty"], bootstrap_samples=0)
    scorer = SummaryScorer(config, language="en", references=several[:1])
    rows = replace(rows, rows=rows.rows.add_column("references", several), scorer=scorer)
    assert row_references(rows.rows)[:3] == [["river", "a lamp"], [], ["dog"]]
    monkeypatch.setattr(tiny.tokenizer, "batch_decode", lambda ids, **_: ["a lamp" for _ in ids])
    found = evaluated(tiny, rows, sort_by_length=False)
    assert found.row_scores["rouge1"][:2] == [100, 0]
    words = set(DOCUMENTS[0].split())
    new = [word not in words for word in ("a", "lamp")]
    assert found.row_scores["novel_1grams"][0] == 100 * sum(new) / 2


@pytest.mark.parametrize("names", [["rouge"], ["rouge", "novelty"]])
def test_an_evaluation_makes_no_python_objects_of_columns_that_it_does_not_read(
    tiny: Tiny, names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = evaluation_set(tiny)
    config = MetricConfig(names=names, bootstrap_samples=0)
    rows = replace(rows, scorer=SummaryScorer(config, language="en", references=["river"]))
    first = evaluated(tiny, rows)
    read: list[str] = []
    iterate, get = Column.__iter__, Column.__getitem__
    monkeypatch.setattr(
        Column, "__iter__", lambda one: read.append(one.column_name) or iterate(one)
    )
    monkeypatch.setattr(
        Column, "__getitem__", lambda one, key: read.append(one.column_name) or get(one, key)
    )
    again = evaluated(tiny, rows)
    assert again.row_scores == first.row_scores
    assert set(read) == ({"document"} if "novelty" in names else set())


def test_what_fills_up_a_beam_is_no_part_of_its_length(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A beam search fills up with T5's end of a text, and upstream counts it."""
    start, end, word = tiny.tokenizer.pad_token_id, tiny.tokenizer.eos_token_id, 9
    rows = [[start, word, word, end, end], [start, end, end, end, end], [start, *[word] * 4]]
    monkeypatch.setattr(tiny.model, "generate", lambda **_: torch.tensor(rows))
    three = evaluation_set(tiny, ["dog"] * 3, DOCUMENTS[:3])
    found = [
        evaluated(tiny, three, lengths_as_upstream=upstream).metrics["eval_gen_len"]
        for upstream in (False, True)
    ]
    assert found == [pytest.approx((3 + 1 + 4) / 3), 4.0]


def test_a_marker_between_sentences_is_stored_as_a_line_end(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        tiny.tokenizer, "batch_decode", lambda rows, **_: ["a b.<n>C d."] * len(rows)
    )
    rows = evaluation_set(tiny, ["a b.\nC d."] * 8)
    found = evaluated(tiny, rows)
    assert found.predictions == ["a b.\nC d."] * 7 + [""]
    assert found.metrics["eval_rouge1"] == found.metrics["eval_rougeLsum"] == 100
    # as the old scripts do
    assert evaluated(tiny, rows, references_from_labels=True).predictions[0] == "a b.<n>C d."


def test_references_from_labels_keep_the_rows_aligned(tiny: Tiny) -> None:
    rows = evaluation_set(tiny)
    # Cut to its first tokens, one reference says less, and another nothing.
    cut = [
        labels[:1] if number == 6 else labels for number, labels in enumerate(rows.tokens["labels"])
    ]
    cut[5] = [tiny.tokenizer.eos_token_id]
    rows = replace(rows, tokens=rows.tokens.remove_columns("labels").add_column("labels", cut))
    found = evaluated(tiny, rows, references_from_labels=True)
    assert {len(scores) for scores in found.row_scores.values()} == {5}
    assert found.row_scores["rouge1"][3] == 0


def test_no_references_no_scores(tiny: Tiny) -> None:
    found = evaluated(tiny, evaluation_set(tiny, [None] * 8))
    assert len(found.predictions) == 8
    assert found.row_scores == {}
    assert set(found.metrics) == {
        "eval_gen_len", "eval_runtime", "eval_samples_per_second", "eval_skipped",
        "eval_steps_per_second"
    }  # fmt: skip


def test_without_generation_there_is_only_the_loss(tiny: Tiny) -> None:
    found = evaluated(tiny, generate=False)
    assert found.predictions == []
    assert "eval_loss" in found.metrics
    assert not any("rouge" in name or "gen_len" in name for name in found.metrics)


def test_the_loss_does_not_depend_on_whether_summaries_are_generated(tiny: Tiny) -> None:
    """Nor on the longest one, to which the old script's labels were padded."""
    alone = evaluated(tiny, generate=False).metrics["eval_loss"]
    for longest in (2, 30):
        with_texts = evaluated(tiny, generation={"max_new_tokens": longest})
        assert with_texts.metrics["eval_loss"] == alone


def test_of_a_batch_that_is_done_only_texts_are_kept(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is gathered from a large set would not fit into memory otherwise."""
    large: list[weakref.ref[torch.Tensor]] = []
    forward, generate = tiny.model.forward, tiny.model.generate

    def watched_forward(*args: Any, **kwargs: Any) -> Any:
        outputs = forward(*args, **kwargs)
        large.append(weakref.ref(outputs.logits))
        return outputs

    def watched_generate(*args: Any, **kwargs: Any) -> Any:
        ids = generate(*args, **kwargs)
        large.append(weakref.ref(ids))
        return ids

    monkeypatch.setattr(tiny.model, "forward", watched_forward)
    monkeypatch.setattr(tiny.model, "generate", watched_generate)
    left: list[int] = []

    def on_batch(_: int) -> None:
        left.append(sum(tensor() is not None for tensor in large))

    collate = build_collator(tiny.tokenizer, tiny.model, DataConfig())
    evaluate(tiny.model, tiny.tokenizer, collate, evaluation_set(tiny), settings(tiny), on_batch)
    assert left == [0, 0, 0]
    assert len(large) > 6


def test_length_of_summaries_counts_their_tokens(tiny: Tiny) -> None:
    # As the old script has it, all but padding counts, and T5 starts with padding.
    found = evaluated(tiny, generation={"min_length": 8})
    assert found.metrics["eval_gen_len"] == 7


def tokens_of(lengths: Sequence[int]) -> Dataset:
    ids = [[5] * length for length in lengths]
    return Dataset.from_dict({"input_ids": ids, "labels": [[6]] * len(ids)})


@pytest.mark.parametrize("sort", [True, False])
@pytest.mark.parametrize("limit", [1, 20, 64, 1000])
def test_batches_are_bounded_by_their_tokens(tiny: Tiny, sort: bool, limit: int) -> None:
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(1, 40, (200,), generator=generator).tolist()
    tokens = tokens_of(lengths)
    chosen = settings(tiny, sort_by_length=sort, batch_tokens=limit)
    batches = list(batch_rows(tokens, chosen))
    assert sorted(itertools.chain(*batches)) == list(range(200))
    for batch in batches:
        padded = len(batch) * max(lengths[number] for number in batch)
        # A row longer than the limit comes alone.
        assert padded <= limit or len(batch) == 1
    for batch, after in itertools.pairwise(batches):
        longest = max(lengths[number] for number in [*batch, after[0]])
        assert (len(batch) + 1) * longest > limit


def test_batches_of_rows(tiny: Tiny) -> None:
    tokens = tokens_of((2, 9, 4, 9, 1))
    in_order = settings(tiny, batch_rows=2, sort_by_length=False)
    assert list(batch_rows(tokens, in_order)) == [[0, 1], [2, 3], [4]]
    assert list(batch_rows(tokens, settings(tiny, batch_rows=2))) == [[1, 3], [2, 0], [4]]


def test_sampling_depends_on_the_seed_and_moves_no_other_random_number(tiny: Tiny) -> None:
    sampled = {"do_sample": True, "temperature": 2.0}
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = evaluated(tiny, generation=sampled, seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(100)
    again = evaluated(tiny, generation=sampled, seed=1)
    other = evaluated(tiny, generation=sampled, seed=2)
    assert again.predictions == first.predictions
    assert other.predictions != first.predictions


def test_the_mode_of_the_model_is_left_as_it_was(tiny: Tiny) -> None:
    for training in (True, False):
        tiny.model.train(training)
        evaluated(tiny)
        assert tiny.model.training is training


def test_generation_options_are_applied(tiny: Tiny) -> None:
    short = evaluated(tiny, generation={"max_new_tokens": 2})
    assert short.metrics["eval_gen_len"] <= 2
    beams = evaluated(tiny, generation={"num_beams": 3, "no_repeat_ngram_size": 1, "min_length": 8})
    for prediction in beams.predictions:
        ids = tiny.tokenizer(prediction, add_special_tokens=False)["input_ids"]
        assert len(ids) == len(set(ids)) or prediction.count("\ufffd")


def test_progress_counts_rows(tiny: Tiny) -> None:
    done: list[int] = []
    collate = build_collator(tiny.tokenizer, tiny.model, DataConfig())
    evaluate(tiny.model, tiny.tokenizer, collate, evaluation_set(tiny), settings(tiny), done.append)
    assert done == [3, 3, 1]


def test_led_summarizes_with_global_attention(monkeypatch: pytest.MonkeyPatch) -> None:
    led = make(config("led"))
    seen: list[torch.Tensor] = []
    encoder = led.model.get_encoder()
    real = encoder.forward

    def watched(*args: Any, **kwargs: Any) -> Any:
        seen.append(kwargs["global_attention_mask"])
        return real(*args, **kwargs)

    monkeypatch.setattr(encoder, "forward", watched)
    evaluated(led)
    # Once for the loss of each batch (of its rows with a reference), and once to generate.
    assert len(seen) == 6
    for mask in seen:
        assert mask[:, 0].eq(1).all()
        assert mask[:, 1:].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16])
def test_mixed_precision(tiny: Tiny, dtype: torch.dtype) -> None:
    exact = evaluated(tiny, generate=False).metrics["eval_loss"]
    rough = evaluated(tiny, generate=False, autocast=dtype).metrics["eval_loss"]
    assert rough == pytest.approx(exact, rel=0.02)
    assert rough != exact


def test_an_empty_set(tiny: Tiny) -> None:
    rows = evaluation_set(tiny)
    empty = replace(rows, rows=rows.rows.select([]), tokens=rows.tokens.select([]))
    found = evaluated(tiny, empty)
    assert found.predictions == []
    assert found.metrics["eval_samples_per_second"] == 0
