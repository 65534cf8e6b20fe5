from __future__ import annotations

import pytest
import torch
from tests.modeling.tiny_models import Tiny, config, make
from transformers import BartForConditionalGeneration

from summexp.data.collate import build_collator
from summexp.data.config import DataConfig

ROWS = [
    {"input_ids": [9, 8, 7, 6, 1], "labels": [5, 1]},
    {"input_ids": [9, 1], "labels": [5, 6, 7, 1]},
]


def collated(tiny: Tiny, data: DataConfig | None = None, **options: int) -> dict[str, torch.Tensor]:
    return build_collator(tiny.tokenizer, tiny.model, data or DataConfig(), **options)(ROWS)


def test_a_batch_of_t5() -> None:
    batch = collated(make(config("t5")))
    assert set(batch) == {"input_ids", "attention_mask", "labels", "decoder_input_ids"}
    assert batch["input_ids"].tolist() == [[9, 8, 7, 6, 1], [9, 1, 0, 0, 0]]
    assert batch["attention_mask"].tolist() == [[1, 1, 1, 1, 1], [1, 1, 0, 0, 0]]
    assert batch["labels"].tolist() == [[5, 1, -100, -100], [5, 6, 7, 1]]
    assert batch["decoder_input_ids"].tolist() == [[0, 5, 1, 0], [0, 5, 6, 7]]


def test_a_model_that_does_not_shift_its_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    """As M2M100 and Blenderbot do not."""
    tiny = make(config("bart"))
    theirs = collated(tiny)["decoder_input_ids"]
    monkeypatch.delattr(BartForConditionalGeneration, "prepare_decoder_input_ids_from_labels")
    assert collated(tiny)["decoder_input_ids"].equal(theirs)


def test_rows_are_left_as_they_were() -> None:
    before = [dict(row) for row in ROWS]
    tiny = make(config("t5"))
    build_collator(tiny.tokenizer, tiny.model, DataConfig(pad_to_max_length=True))(ROWS)
    assert before == ROWS


def test_padding_counts_if_it_should() -> None:
    batch = collated(make(config("t5")), DataConfig(ignore_pad_token_for_loss=False))
    assert batch["labels"].tolist() == [[5, 1, 0, 0], [5, 6, 7, 1]]


def test_multiples_for_half_precision() -> None:
    batch = collated(make(config("t5")), pad_to_multiple_of=8)
    assert batch["input_ids"].shape == batch["labels"].shape == (2, 8)


@pytest.mark.parametrize("counts", [True, False])
def test_static_shapes(counts: bool) -> None:
    data = DataConfig(
        pad_to_max_length=True,
        max_source_length=12,
        max_target_length=6,
        val_max_target_length=7,
        ignore_pad_token_for_loss=counts,
    )
    batch = collated(make(config("t5")), data)
    assert batch["input_ids"].shape == batch["attention_mask"].shape == (2, 12)
    assert batch["attention_mask"].sum(1).tolist() == [5, 2]
    assert batch["labels"].shape == batch["decoder_input_ids"].shape == (2, 7)
    assert batch["labels"][0].tolist() == [5, 1] + [-100 if counts else 0] * 5


def test_led_looks_at_its_first_token_from_everywhere() -> None:
    batch = collated(make(config("led")))
    assert batch["global_attention_mask"].tolist() == [[1, 0, 0, 0, 0]] * 2


def test_rows_without_a_summary_have_no_labels() -> None:
    tiny = make(config("t5"))
    batch = build_collator(tiny.tokenizer, tiny.model, DataConfig())(
        [ROWS[0], {**ROWS[1], "labels": []}]
    )
    assert set(batch) == {"input_ids", "attention_mask"}
