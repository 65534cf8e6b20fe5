"""Every encoder-decoder family of transformers; `make test-families` runs them all."""

from __future__ import annotations

from pathlib import Path

import pytest
import transformers
from tests.modeling.test_model_builder import batch_of
from tests.modeling.tiny_models import config, make

import family_table
from summexp.modeling.architecture import text_to_text_families


@pytest.mark.parametrize("model_type", ["encoder-decoder", "t5gemma2", "marian"])
def test_a_family_trains_evaluates_predicts_and_resumes(model_type: str, tmp_path: Path) -> None:
    family = family_table.try_family(model_type, tmp_path)
    assert family.done == dict.fromkeys(family_table.COLUMNS, True)
    assert family.parameters < 200_000


def test_every_familys_generation_starts_as_its_training_does() -> None:
    starts = {}
    for model_type in text_to_text_families():
        tiny = make(config(model_type, architecture=_start(model_type)))
        (start,) = set(batch_of(tiny)["decoder_input_ids"][:, 0].tolist())
        starts[model_type] = (start, tiny.model.generation_config.decoder_start_token_id)
    assert [name for name, (first, second) in starts.items() if first != second] == []
    assert {name: starts[name][0] for name in ("t5", "bart", "t5gemma")} == {
        "t5": 0,
        "bart": 2,
        "t5gemma": 2,
    }


def _start(model_type: str) -> dict[str, int]:
    return {"decoder_start_token_id": 2} if model_type == "plbart" else {}


def test_the_table_in_the_docs_has_every_family() -> None:
    page = family_table.PAGE.read_text(encoding="utf-8")
    if f"transformers {transformers.__version__} " not in page:
        pytest.skip("the table is that of another transformers")
    rows = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    assert [row[0].strip("`") for row in rows] == text_to_text_families()
    assert {word for row in rows for word in row[2:]} == {"yes"}
    assert "`qwen2_audio`" in page.partition("they read sound")[2]
