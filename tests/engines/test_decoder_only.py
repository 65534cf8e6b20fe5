"""Decoder-only models: what they are given, scored on and asked for, by values worked out here."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tests.engines.jobs import run_config, source, target, text
from tests.engines.outcomes import ENGINES, fit
from tests.evaluation.test_evaluate import (
    DOCUMENTS,
    REFERENCES,
    SCORED,
    evaluation_set,
    settings,
)
from tests.modeling.tiny_models import DECODER_ONLY, Tiny, config, make
from torch.nn import functional

from summexp.config.model_kind_rules import kind_problems
from summexp.data.collate import IGNORED, Collator, build_collator
from summexp.data.config import DataConfig
from summexp.errors import ConfigError
from summexp.evaluation.evaluate import EvaluationResult, batch_rows, evaluate
from summexp.evaluation.loss import count_targets, token_loss_sum

OTHERS = ["qwen3", "opt", "bloom", "gemma3_text", "gpt_neox", "gpt_neo", "gptj"]


def loud(model_type: str, *, pads_with_the_end: bool = True) -> Tiny:
    """A tiny model that says something else of each document, and pads with what ends a summary."""
    tiny = make(config(model_type))
    tokenizer = copy.deepcopy(tiny.tokenizer)
    if pads_with_the_end:
        tokenizer.pad_token = tokenizer.eos_token
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in tiny.model.parameters():
            weight.add_(torch.randn_like(weight) * 0.5)
    return Tiny(tiny.config, tiny.model.eval(), tokenizer)


@pytest.fixture(scope="module", params=DECODER_ONLY)
def tiny(request: pytest.FixtureRequest) -> Tiny:
    return loud(request.param)


def row(tiny: Tiny, number: int) -> dict[str, list[int]]:
    return {
        "input_ids": source(tiny, text(number, 1 + number * 5 % 7)),
        "labels": target(tiny, text(number, 1 + number % 4)),
    }


def collator(tiny: Tiny, **options: Any) -> Collator:
    multiple = options.pop("multiple", None)
    return build_collator(
        tiny.tokenizer, tiny.model, DataConfig(**options), pad_to_multiple_of=multiple
    )


def loss_sum(tiny: Tiny, batch: dict[str, torch.Tensor]) -> tuple[float, int]:
    inputs = {name: tensor for name, tensor in batch.items() if name != "labels"}
    with torch.no_grad():
        logits = tiny.model(**inputs).logits
    assert logits.shape[:2] == batch["labels"].shape
    return token_loss_sum(logits, batch["labels"]).item(), int(count_targets(batch["labels"]))


def test_a_batch_is_one_text_a_row_with_the_summary_scored(tiny: Tiny) -> None:
    rows = [
        {"input_ids": [9, 8, 7, 6], "labels": [5, 4]},
        {"input_ids": [9, 8], "labels": [5, 6, 7, 4]},
    ]
    end = tiny.tokenizer.eos_token_id
    assert tiny.tokenizer.pad_token_id == end
    batch = collator(tiny)(rows)
    assert batch["input_ids"].tolist() == [[9, 8, 7, 6, 5], [9, 8, 5, 6, 7]]
    assert batch["attention_mask"].tolist() == [[1] * 5, [1] * 5]
    # What comes before the first summary begins has no logits.
    assert batch["logits_to_keep"].tolist() == [1, 2, 3, 4]
    assert batch["labels"].tolist() == [[-100, -100, 5, 4], [5, 6, 7, 4]]
    shorter = [rows[0], {"input_ids": [9, 8], "labels": [5]}]
    batch = collator(tiny)(shorter)
    assert batch["input_ids"].tolist() == [[9, 8, 7, 6, 5], [9, 8, end, end, end]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    prompts = collator(tiny).prompts(shorter)
    assert prompts["input_ids"].tolist() == [[9, 8, 7, 6], [end, end, 9, 8]]
    assert prompts["attention_mask"].tolist() == [[1, 1, 1, 1], [0, 0, 1, 1]]
    assert set(prompts) == {"input_ids", "attention_mask"}


def test_static_shapes_and_multiples(tiny: Tiny) -> None:
    rows = [row(tiny, number) for number in range(3)]
    static = collator(
        tiny, pad_to_max_length=True, max_source_length=60, max_target_length=9,
        val_max_target_length=12,
    )  # fmt: skip
    assert static(rows)["input_ids"].shape == static(rows)["labels"].shape == (3, 71)
    assert "logits_to_keep" not in static(rows)
    assert static.prompts(rows)["input_ids"].shape == (3, 60)
    eight = collator(tiny, multiple=8)
    assert eight(rows)["input_ids"].shape[1] % 8 == 0
    assert eight.prompts(rows)["input_ids"].shape[1] % 8 == 0
    expected, _ = loss_sum(tiny, collator(tiny)(rows))
    assert loss_sum(tiny, static(rows))[0] == pytest.approx(expected, rel=1e-5)
    assert loss_sum(tiny, eight(rows))[0] == pytest.approx(expected, rel=1e-5)


def test_a_filler_row_counts_for_nothing(tiny: Tiny) -> None:
    filler = {"input_ids": [9], "labels": [IGNORED]}
    rows = [row(tiny, 3)]
    alone, both = (loss_sum(tiny, collator(tiny)(some)) for some in (rows, [*rows, filler]))
    assert both == pytest.approx(alone, rel=1e-5)
    assert loss_sum(tiny, collator(tiny)([filler])) == (0.0, 0)


def test_the_loss_is_the_models_own_on_prompt_and_summary(tiny: Tiny) -> None:
    """That of transformers, which shifts by itself, and one written out."""
    one = row(tiny, 4)
    prompt, summary = one["input_ids"], one["labels"]
    assert summary[-1] == tiny.tokenizer.eos_token_id
    ids = torch.tensor([prompt + summary])
    labels = torch.tensor([[IGNORED] * len(prompt) + summary])
    with torch.no_grad():
        output = tiny.model(input_ids=ids, labels=labels)
    scores = output.logits[0, len(prompt) - 1 : -1]
    written = functional.cross_entropy(scores, torch.tensor(summary), reduction="sum").item()
    total, count = loss_sum(tiny, collator(tiny)([one]))
    assert count == len(summary)
    assert total == pytest.approx(written, rel=1e-6)
    assert total / count == pytest.approx(output.loss.item(), rel=1e-6)


@pytest.mark.parametrize("model_type", [*DECODER_ONLY, *OTHERS])
def test_a_rows_neighbours_change_neither_its_loss_nor_its_summary(model_type: str) -> None:
    tiny = loud(model_type)
    rows = [row(tiny, number) for number in range(6)]
    alone = [loss_sum(tiny, collator(tiny)([one])) for one in rows]
    together = loss_sum(tiny, collator(tiny)(rows))
    assert together[0] == pytest.approx(sum(total for total, _ in alone), rel=1e-5)
    assert together[1] == sum(count for _, count in alone)
    one_by_one = evaluated(tiny, batch_rows=1)
    of_all = evaluated(tiny, batch_rows=8)
    assert of_all.predictions == one_by_one.predictions
    assert len(set(of_all.predictions)) > 3
    assert of_all.metrics["eval_loss"] == pytest.approx(one_by_one.metrics["eval_loss"], rel=1e-5)
    assert of_all.metrics["eval_gen_len"] == one_by_one.metrics["eval_gen_len"]


def evaluated(tiny: Tiny, **options: Any) -> EvaluationResult:
    return evaluate(
        tiny.model, tiny.tokenizer, collator(tiny), evaluation_set(tiny), settings(tiny, **options)
    )


def greedily(tiny: Tiny, document: str, new_tokens: int = 8) -> list[int]:
    """The most likely token after the prompt, and so on, without a cache or upstream's search."""
    ids = source(tiny, document)
    written: list[int] = []
    while len(written) < new_tokens and tiny.tokenizer.eos_token_id not in written:
        with torch.no_grad():
            logits = tiny.model(input_ids=torch.tensor([ids + written])).logits
        written.append(int(logits[0, -1].argmax()))
    return written


@pytest.mark.parametrize("sort", [True, False])
def test_summaries_are_what_follows_the_prompt(tiny: Tiny, sort: bool) -> None:
    found = evaluated(tiny, sort_by_length=sort)
    # Of an empty document no summary is made up.
    expected = [greedily(tiny, document) if document else [] for document in DOCUMENTS]
    decoded = [tiny.tokenizer.decode(ids, skip_special_tokens=True).strip() for ids in expected]
    assert found.predictions == decoded
    lengths = [len(expected[row]) for row in SCORED]
    assert found.metrics["eval_gen_len"] == sum(lengths) / len(lengths)


def test_the_token_that_ends_a_summary_is_counted_and_padding_is_not() -> None:
    tiny = loud("gpt2")
    with torch.no_grad():
        # Some summaries end at once, and others go on to the limit.
        weights = tiny.model.get_output_embeddings().weight
        weights[tiny.tokenizer.eos_token_id] *= 3
    lengths = [len(greedily(tiny, DOCUMENTS[row])) for row in SCORED]
    assert len(set(lengths)) > 1
    assert evaluated(tiny).metrics["eval_gen_len"] == sum(lengths) / len(lengths)


def test_the_summary_is_no_part_of_what_is_generated_from(
    tiny: Tiny, monkeypatch: pytest.MonkeyPatch
) -> None:
    fed: list[list[int]] = []
    generate = tiny.model.generate

    def watched(**inputs: Any) -> Any:
        for ids, mask in zip(inputs["input_ids"], inputs["attention_mask"], strict=True):
            fed.append(ids[mask.bool()].tolist())
        return generate(**inputs)

    monkeypatch.setattr(tiny.model, "generate", watched)
    evaluated(tiny, sort_by_length=False)
    # Rows that are not scored come last, but for the empty document, which is skipped.
    assert DOCUMENTS[7] == ""
    assert fed == [source(tiny, DOCUMENTS[row]) for row in (*SCORED, 2, 4)]
    other: list[str | None] = [one and one[::-1] for one in REFERENCES]
    rows = evaluation_set(tiny, other)
    again = evaluate(tiny.model, tiny.tokenizer, collator(tiny), rows, settings(tiny))
    assert again.predictions == evaluated(tiny).predictions


def test_the_budget_of_a_batch_has_room_for_its_summaries(tiny: Tiny) -> None:
    tokens = Dataset.from_dict({"input_ids": [[1] * 12] * 6, "labels": [[1]] * 6})
    # 12 tokens and 8 more, three times.
    sizes = [len(batch) for batch in batch_rows(tokens, settings(tiny, batch_tokens=60))]
    assert sizes == [3, 3]


def test_the_sampler_depends_on_prompt_and_summary(tiny: Tiny) -> None:
    tokens = Dataset.from_dict({"input_ids": [[1] * 3, [1]], "labels": [[1], [1] * 9]})
    assert collator(tiny).lengths(tokens).tolist() == [4, 10]


@pytest.mark.parametrize("engine", ENGINES)
def test_it_resumes_bit_for_bit(engine: str, tmp_path: Path) -> None:
    options = {"save_strategy": "steps", "save_steps": 1}
    tiny = make(config("gpt2"))
    whole = fit(engine, tmp_path / "whole", tiny, options)
    rest = fit(
        engine, tmp_path / "rest", tiny, options, resume_from=tmp_path / "whole" / "checkpoint-4"
    )
    assert rest.reported["steps"] == whole.reported["steps"] == 6
    for name, weight in rest.model.state_dict().items():
        assert weight.equal(whole.model.state_dict()[name]), name


@pytest.mark.parametrize(
    ("sections", "key"),
    [
        ({"model": config("gpt2", lang="ko")}, "model.lang"),
        ({"model": config("gpt2", forced_bos_token="ko")}, "model.forced_bos_token"),
        (
            {"model": config("gpt2", resize_position_embeddings=True)},
            "model.resize_position_embeddings",
        ),
        ({"data": DataConfig(ignore_pad_token_for_loss=False)}, "data.ignore_pad_token_for_loss"),
    ],
)
def test_keys_that_mean_nothing_to_a_decoder_only_model(sections: dict[str, Any], key: str) -> None:
    chosen = run_config(**sections)
    assert [one.key for one in kind_problems(chosen, decoder_only=True)] == [key]
    assert not [*kind_problems(chosen, decoder_only=False)]
    assert not [*kind_problems(chosen, decoder_only=None)]


def test_an_encoder_decoder_has_no_use_for_what_goes_between() -> None:
    chosen = run_config(model=config("t5", target_prefix="\nTL;DR:\n"))
    (problem,) = kind_problems(chosen, decoder_only=False)
    assert problem.key == "model.target_prefix"
    assert not [*kind_problems(chosen, decoder_only=True)]


def test_positions_are_for_prompt_and_summary_together() -> None:
    few = config("gpt2", architecture={"n_positions": 50})
    make(few, longest_source=38, longest_target=12)
    with pytest.raises(ConfigError) as caught:
        make(few, longest_source=40, longest_target=12)
    reported = str(caught.value)
    assert reported.startswith("data.max_source_length: lets up to 40 tokens in")
    assert "40 + 12 = 52" in reported
    assert "has 50 positions" in reported
    assert "Set it to 38" in reported
    with pytest.raises(ConfigError, match="Allow summaries of less than 50 tokens"):
        make(few, longest_source=40, longest_target=60)
