"""On two ranks `engine=accelerate` has the numbers of `engine=trainer`, with dropout too."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file
from tests.engines.test_sharded import assert_full, fit_on, logged, predictions_in

ROWS = 33
"""Two global batches of 16, and one of a single row, of which the second rank has nothing."""
DROPOUT = 0.1


def both(folder: Path, *words: Any, **named: Any) -> tuple[Path, Path]:
    """Train with each engine, and return the folders."""
    folders = folder / "trainer", folder / "accelerate"
    for one in folders:
        fit_on(2, one, *words, engine=one.name, count=ROWS, dropout=DROPOUT, **named)
    return folders


def assert_equal(trainer: Path, ours: Path) -> None:
    for name in ("loss", "grad_norm", "learning_rate", "eval_loss"):
        expected = logged(trainer, name)
        assert len(expected) == (2 if name == "eval_loss" else 6)
        assert logged(ours, name) == pytest.approx(expected, rel=0, abs=1e-6), name
    assert predictions_in(ours) == predictions_in(trainer)
    assert len(set(predictions_in(ours)[0])) > 1
    one, other = (load_file(folder / "model.safetensors") for folder in (ours, trainer))
    for name, weight in one.items():
        assert weight.allclose(other[name], rtol=0, atol=1e-6), name


@pytest.mark.parametrize(
    ("model_type", "accumulation"),
    [
        ("t5", 4),
        ("gpt2", 4),
        # BERT's pooler gets no gradient, of which DDP has to know.
        ("encoder-decoder", 1),
        *(
            pytest.param(*one, marks=pytest.mark.slow)
            for one in (("t5", 1), ("bart", 1), ("bart", 4))
        ),
    ],
)
def test_the_trainers_numbers(model_type: str, accumulation: int, tmp_path: Path) -> None:
    options = {"gradient_accumulation_steps": accumulation}
    assert_equal(*both(tmp_path, model_type, 8 // accumulation, None, options))
    assert_full(tmp_path / "accelerate" / "checkpoint-3", "optimizer.pt", "scheduler.pt")


@pytest.mark.slow
def test_the_trainers_numbers_in_bfloat16(tmp_path: Path) -> None:
    options = {"bf16": True, "gradient_accumulation_steps": 2}
    trainer, ours = both(tmp_path, "t5", 4, None, options)
    assert_equal(trainer, ours)
    fit_on(2, tmp_path / "full", "t5", 4, None, options | {"bf16": False}, count=ROWS)
    assert logged(ours, "loss") != pytest.approx(logged(tmp_path / "full", "loss"), abs=1e-4)
