"""Input of both programs: small random T5 and BART models, and irregular CSV files."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from transformers import PreTrainedModel, PreTrainedTokenizerBase
from transformers.utils import logging as upstream_logging

from summexp.data.collate import IGNORED
from summexp.data.news_briefs import bundled_rows
from summexp.modeling.config import ModelConfig
from summexp.modeling.model_builder import CorpusTexts, build_model, build_tokenizer

ROWS = {"train": 60, "validation": 22, "test": 22}
"""Rows of the bundled corpus in each file."""
_WARM_UP_STEPS, _WARM_UP_ROWS = 150, 16

MODELS: dict[str, dict[str, Any]] = {
    "T5": {
        "model_type": "t5",
        "vocab_size": 1024,
        "d_model": 64,
        "d_ff": 128,
        "num_layers": 2,
        "num_decoder_layers": 2,
        "num_heads": 8,
        "d_kv": 8,
        "dropout_rate": 0.1,
    },
    "BART": {
        "model_type": "bart",
        "vocab_size": 1024,
        "d_model": 64,
        "encoder_ffn_dim": 128,
        "decoder_ffn_dim": 128,
        "encoder_layers": 2,
        "decoder_layers": 2,
        "encoder_attention_heads": 4,
        "decoder_attention_heads": 4,
        "dropout": 0.1,
    },
}
"""Their shapes; both have dropout, whose random numbers have to agree."""

_MISHAPS = (
    ('The library opens on Sundays now.\nLoans are free, "as ever", it says.', "Open,\nSundays."),
    ("서울의 작은 도서관이 일요일에도 문을 연다. 대출은 무료다.", "도서관이 일요일에 연다."),
    ("図書館は日曜日も開く。貸し出しは無料だ。", "図書館、日曜も。"),
    ("A document whose summary nobody wrote.", ""),
    ("", "A summary without its document."),
    ('Dr. Lee (b. 1970) paid $3.50, i.e. \u20ac3\u2026 "Fine!" he said.', 'Dr. Lee paid. "Fine!"'),
    ("A very long story. " * 60, "A long story. It goes on. It ends."),
)
"""Line ends, quotes, other scripts, missing parts, abbreviations, a document to be cut."""


def write_files(folder: Path) -> None:
    """Write `train.csv`, `validation.csv` and `test.csv`, with columns `document` and `summary`."""
    for split, count in ROWS.items():
        rows = [(row["document"], row["summary"]) for row in islice(bundled_rows(split), count)]
        for place, mishap in enumerate(_MISHAPS):
            rows.insert(2 + 3 * place, mishap)
        with (folder / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(("document", "summary"))
            writer.writerows(rows)


def make_model(name: str, folder: Path) -> None:
    """Write a model of `MODELS` and a tokenizer for it to `folder`.

    Its weights are random and then trained for a moment, so that it writes words and not one token
    again and again: scores of 0 would be equal whatever was wrong.
    """
    upstream_logging.disable_progress_bar()
    config = ModelConfig(init="random", architecture=MODELS[name])
    shape, tokenizer = build_tokenizer(
        config, CorpusTexts("parity", _texts), tiny=False, cache_dir=None
    )
    model = build_model(config, shape, tokenizer, seed=1, longest_source=1, longest_target=1)
    _warm_up(model, tokenizer)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _warm_up(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    rows = list(bundled_rows("train"))[-_WARM_UP_STEPS * _WARM_UP_ROWS :]
    for start in range(0, len(rows), _WARM_UP_ROWS):
        batch = rows[start : start + _WARM_UP_ROWS]
        inputs = tokenizer([row["document"] for row in batch], padding=True, return_tensors="pt")
        labels = tokenizer([row["summary"] for row in batch], padding=True, return_tensors="pt")
        targets = labels["input_ids"].masked_fill(labels["attention_mask"].eq(0), IGNORED)
        given = {"input_ids": inputs["input_ids"], "attention_mask": inputs["attention_mask"]}
        model(**given, labels=targets).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def _texts() -> Iterator[str]:
    for row in islice(bundled_rows("train"), 1000):
        yield row["document"]
        yield row["summary"]
