"""Prediction of documents that are longer than the model takes, through `train.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests import forked

SHORT, LONG = (1, 2, 0, 2, 1), (30, 9, 18)
WORDS = (
    "hardware=cpu",
    "data=custom_json",
    "data.train_file=train.jsonl",
    "data.validation_file=train.jsonl",
    "data.max_source_length=48",
    "model.architecture.d_model=32",
    "model.architecture.d_ff=64",
    "generation.max_new_tokens=8",
    "training.per_device_eval_batch_size=3",
    "training.max_steps=2",
    "training.do_predict=true",
    "data.long_documents=chunk",
)


def document(number: int, sentences: int) -> str:
    return " ".join(f"The {n}th river of 서울 {number} rose in May." for n in range(sentences))


@pytest.fixture
def place(tmp_path: Path) -> Path:
    rows = [{"document": document(n, 1 + n % 3), "summary": f"River {n}."} for n in range(24)]
    write(tmp_path / "train.jsonl", rows)
    lengths = (SHORT[0], LONG[0], *SHORT[1:3], LONG[1], *SHORT[3:], LONG[2])
    test = [
        {"document": document(n, length), "summary": f"{length} rivers."}
        for n, length in enumerate(lengths)
    ]
    write(tmp_path / "test.jsonl", test)
    return tmp_path


def write(path: Path, rows: list[dict[str, str]]) -> None:
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    path.write_text(lines, encoding="utf-8")


def run(place: Path, name: str, *words: str, expect: int = 0) -> str:
    log = place / f"{name}.{len(list(place.glob('*.log')))}.log"
    code, output = forked.run(*WORDS, f"output_dir={name}", *words, log=log, cwd=place)
    assert code == expect, output
    assert "Traceback" not in output
    return output


def predictions(folder: Path) -> list[dict[str, Any]]:
    text = (folder / "generated_predictions.jsonl").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.split("\n")[:-1]]


def scores(folder: Path) -> dict[str, float]:
    found = json.loads((folder / "predict_results.json").read_text())
    return {k: v for k, v in found.items() if not k.endswith(("_second", "_runtime"))}


@pytest.mark.parametrize("engine", ["trainer", pytest.param("accelerate", marks=pytest.mark.slow)])
def test_long_rows_are_summarised_in_chunks_and_short_ones_as_ever(
    place: Path, engine: str
) -> None:
    words = (f"engine={engine}", "data.test_file=test.jsonl")
    run(place, "run", *words, "data.long_documents=truncate")
    cut, cut_scores = predictions(place / "run"), scores(place / "run")
    output = run(place, "run", *words)
    chunked = predictions(place / "run")
    chunks = {number: row["chunks"] for number, row in enumerate(chunked) if "chunks" in row}
    assert list(chunks) == [1, 4, 7]
    assert chunks[1] > chunks[7] > chunks[4] > 1
    assert (
        "test: 3 of 8 documents are longer than 48 tokens: summarised in chunks "
        f"({chunks[4]} to {chunks[1]})" in output
    )
    for number in (0, 2, 3, 5, 6):
        assert chunked[number] == cut[number]
    # What the loss is of has not changed.
    assert scores(place / "run")["predict_loss"] == cut_scores["predict_loss"]
    record = json.loads((place / "run" / "run.json").read_text())
    test = record["data"]["health"]["splits"]["test"]
    assert (test["chunked_documents"], test["truncated_documents"]) == (3, 0)
    assert "3 (37.5 %) in chunks" in (place / "run" / "report.md").read_text()
    assert "nothing to do" in run(place, "run", *words)


@pytest.mark.slow
def test_two_ranks_predict_what_one_does(place: Path) -> None:
    words = ("data.test_file=test.jsonl", "generation=beam4", "generation.do_sample=true")
    run(place, "model", "training.do_predict=false")
    # Trained on two ranks, weights might differ in their last bits.
    words = (*words, "model=custom", "model.name_or_path=model", "training.do_train=false")
    run(place, "one", *words)
    log = place / "two.log"
    codes = forked.run_ranks(2, *WORDS, *words, "output_dir=two", log=log, cwd=place)
    assert codes == [0, 0], (place / "two.log.0").read_text()
    assert predictions(place / "two") == predictions(place / "one")
    assert scores(place / "two") == scores(place / "one")
    assert any("chunks" in row for row in predictions(place / "two"))


def test_plain_text_without_references_and_streaming(place: Path) -> None:
    lines = [document(0, 1), document(1, 20), "", document(3, 9)]
    (place / "test.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    output = run(
        place,
        "run",
        "data.test_file=test.txt",
        "data.streaming=true",
        "data.max_predict_samples=3",
        "data.chunk_overlap=0",
    )
    rows = predictions(place / "run")
    assert [row.get("chunks", 0) > 1 for row in rows] == [False, True, False]
    assert "test: 1 of 3 documents are longer than 48 tokens" in output


def test_many_cut_documents_are_worth_a_hint(place: Path) -> None:
    words = ("data.test_file=test.jsonl", "data.long_documents=truncate")
    output = run(place, "run", *words)
    assert "3 of 8 documents are longer than 48 tokens: truncated" in output
    assert "data.long_documents=chunk" in output
    output = run(place, "run", *words, "data.max_predict_samples=1")
    assert "data.long_documents=chunk" not in output


def test_what_leaves_no_room_is_reported_before_a_model_is_made(place: Path) -> None:
    words = ("data.test_file=test.jsonl", "data.max_source_length=20")
    output = run(place, "run", *words, "model.source_prefix='tell me: '", expect=2)
    assert "data.max_source_length: is 20, which leaves" in output
    assert "weights, on" not in output
    output = run(place, "other", "data.chunk_overlap=40", expect=2)
    assert "data.chunk_overlap: must be from 0 to half of data.max_source_length, not 40" in output
