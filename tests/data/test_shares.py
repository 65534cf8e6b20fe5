"""Validation and test rows that are held out of the training rows."""

from __future__ import annotations

import csv
import json
import random
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pytest

from summexp.data.config import DataConfig
from summexp.data.corpus import Corpus, load_corpus
from summexp.data.data_checks import check_data
from summexp.data.shares import document_hash
from summexp.data.split_sources import PHASES
from summexp.errors import ConfigError, Problem

ROWS = [
    {"document": f"Café {n % 150}:\nthe river  rose.", "summary": f"River {n}."} for n in range(200)
]
"""Fifty of them repeat the document of another, with another summary."""
HELD_OUT = {"validation_share": 0.2, "test_share": 0.1}


def jsonl(path: Path, rows: Iterable[dict[str, Any]] = ROWS) -> str:
    path.write_text("\n".join(map(json.dumps, rows)))
    return str(path)


@pytest.fixture
def rows(tmp_path: Path) -> str:
    return jsonl(tmp_path / "rows.jsonl")


def load(tmp_path: Path, *phases: Any, **config: Any) -> Corpus:
    cache = tmp_path / "cache"
    return load_corpus(DataConfig(**config), phases=phases, offline=True, cache_dir=cache)


def documents(corpus: Corpus) -> list[set[str]]:
    """Of the rows to train, validate and predict on."""
    splits = (corpus.train or [], corpus.validation["validation"], corpus.test or [])
    return [{" ".join(row["document"].split()) for row in split} for split in splits]


def test_the_splits_share_no_document_and_leave_no_row_out(rows: str, tmp_path: Path) -> None:
    corpus = load(tmp_path, *PHASES, train_file=rows, **HELD_OUT)
    train, validation, test = documents(corpus)
    assert not train & validation
    assert not train & test
    assert not validation & test
    assert len(train | validation | test) == 150
    counts = {name: split.rows for name, split in corpus.health.splits.items()}
    assert sum(counts.values()) == 200
    assert 15 < len(validation) < 45
    assert 5 < len(test) < 25
    assert all(overlap.rows == 0 for overlap in corpus.health.overlaps)
    # A row is named by its place in the file.
    assert all(
        ROWS[int(row["id"])]["summary"] == row["summary"] for row in corpus.validation["validation"]
    )


def test_neither_order_nor_format_nor_the_other_share_moves_a_row(
    rows: str, tmp_path: Path
) -> None:
    expected = documents(load(tmp_path, *PHASES, train_file=rows, **HELD_OUT))
    shuffled = random.Random(0).sample(ROWS, len(ROWS))
    path = tmp_path / "rows.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        writer = csv.DictWriter(file, ["summary", "document"])
        writer.writeheader()
        # As a Mac and as Windows write it.
        texts = [row["document"].replace("é", "é").replace("\n", "\r\n") for row in shuffled]
        for row, text in zip(shuffled, texts, strict=True):
            writer.writerow({**row, "document": text})
    found = documents(load(tmp_path, *PHASES, train_file=str(path), **HELD_OUT))
    for before, now in zip(expected, found, strict=True):
        assert {text.replace("é", "é") for text in now} == before
    without_test = load(tmp_path, "eval", train_file=rows, validation_share=0.2)
    assert documents(without_test)[1] == expected[1]
    assert load(tmp_path, "train", train_file=rows, **HELD_OUT).fingerprints.keys() == {"train"}


def test_a_larger_share_holds_out_the_same_rows_and_more(rows: str, tmp_path: Path) -> None:
    sets = [
        documents(load(tmp_path, "eval", train_file=rows, validation_share=share))[1]
        for share in (0.1, 0.3)
    ]
    assert sets[0] < sets[1]


def test_the_hash_is_that_of_every_version() -> None:
    """Another value would move rows from a validation set into the training of a later run."""
    assert document_hash("The river rose.") == pytest.approx(0.4297704130622719, abs=1e-15)
    assert document_hash(" The\u3000river\r\nrose. ") == document_hash("The river rose.")


def test_limits_are_those_of_each_split(rows: str, tmp_path: Path) -> None:
    limits = {"max_train_samples": 7, "max_eval_samples": 3, "max_predict_samples": 2}
    whole = load(tmp_path, *PHASES, train_file=rows, **HELD_OUT)
    corpus = load(tmp_path, *PHASES, train_file=rows, **HELD_OUT, **limits)
    assert corpus.train is not None
    assert corpus.test is not None
    assert whole.train is not None
    assert list(corpus.train) == list(whole.train)[:7]
    assert [len(corpus.validation["validation"]), len(corpus.test)] == [3, 2]


def test_rows_without_a_summary_are_predicted_only(tmp_path: Path) -> None:
    rows = [{**row, "summary": None if n % 2 else "x"} for n, row in enumerate(ROWS)]
    path = jsonl(tmp_path / "rows.jsonl", rows)
    corpus = load(tmp_path, *PHASES, train_file=path, **HELD_OUT)
    assert corpus.test is not None
    assert None in corpus.test["summary"][:]
    assert None not in corpus.validation["validation"]["summary"][:]


def test_a_stream_has_the_rows_of_the_file(rows: str, tmp_path: Path) -> None:
    whole = load(tmp_path, "train", "eval", train_file=rows, **HELD_OUT)
    stream = load(tmp_path, "train", "eval", train_file=rows, streaming=True, **HELD_OUT)
    assert isinstance(stream.train, datasets.IterableDataset)
    assert list(stream.train) == list(whole.train or [])
    assert list(stream.validation["validation"]) == list(whole.validation["validation"])


@pytest.mark.parametrize("streaming", [False, True])
def test_a_dataset_with_one_split(tmp_path: Path, rows: str, streaming: bool) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    jsonl(folder / "train.jsonl")
    expected = documents(load(tmp_path, *PHASES, train_file=rows, **HELD_OUT))
    name = {"name": str(folder), "streaming": streaming}
    assert documents(load(tmp_path, *PHASES, **name, **HELD_OUT)) == expected
    with pytest.raises(ConfigError, match=r"data.validation_share=0.1 to hold out a tenth of tr"):
        load(tmp_path, "train", "eval", **name)


def test_a_saved_dataset_and_the_bundled_corpus(tmp_path: Path, rows: str) -> None:
    expected = documents(load(tmp_path, *PHASES, train_file=rows, **HELD_OUT))
    saved = datasets.Dataset.from_list(ROWS)
    saved.save_to_disk(tmp_path / "saved")
    corpus = load(tmp_path, *PHASES, name=str(tmp_path / "saved"), **HELD_OUT)
    assert documents(corpus) == expected
    bundled = load(tmp_path, "train", "eval", name="news_briefs", validation_share=0.1)
    assert not documents(bundled)[0] & documents(bundled)[1]


def check(**config: Any) -> list[Problem]:
    switches = {"do_train": True, "do_eval": True, "do_predict": False}
    return check_data(DataConfig(**config), **switches)


def test_the_missing_validation_file_is_answered_with_a_share_that_works(
    rows: str, tmp_path: Path
) -> None:
    few = jsonl(tmp_path / "few.jsonl", ROWS[:4])
    for path, share in ((rows, 0.1), (few, 0.4)):
        (problem,) = check(train_file=path)
        assert problem.key == "data.validation_file"
        advice = f"data.validation_share={share} to hold it out of data.train_file"
        assert advice in (problem.hint or "")
        assert not check(train_file=path, validation_share=share)
        assert load(tmp_path, "train", "eval", train_file=path, validation_share=share).train
    (problem,) = check(train_file=jsonl(tmp_path / "one.jsonl", ROWS[:1]))
    assert "share" not in (problem.hint or "")


def test_a_file_goes_before_the_share_which_stays_out_of_the_training(
    rows: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    alone = documents(load(tmp_path, *PHASES, train_file=rows, **HELD_OUT))[0]
    other = jsonl(tmp_path / "other.jsonl", [{"document": "It rained.", "summary": "Rain."}])
    for files in (
        {"test_file": other},
        {"validation_file": other},
        {"validation_files": {"validation": other}},
    ):
        config = {"train_file": rows, **files, **HELD_OUT}
        assert not check(**config)
        caplog.clear()
        train, validation, test = documents(load(tmp_path, *PHASES, **config))
        assert train == alone
        assert (test if "test_file" in files else validation) == {"It rained."}
        name = next(iter(files)).partition("_")[0]
        reported = f"the rows of data.{name}_share={HELD_OUT[f'{name}_share']} are held out but not"
        assert reported in caplog.text


@pytest.mark.parametrize(("share", "split"), [(0.001, "validation"), (0.999, "train")])
def test_a_share_that_leaves_a_side_empty_is_rejected(
    tmp_path: Path, share: float, split: str
) -> None:
    few = jsonl(tmp_path / "few.jsonl", ROWS[:10])
    (problem,) = check(train_file=few, validation_share=share)
    assert problem.key == "data.validation_share"
    assert problem.what == f"{few} has no usable row for the {split} split"
    assert problem.hint == "Set data.validation_share=0.1."
    assert not check(train_file=few, validation_share=0.1)
    # What only loading finds says the same.
    folder = tmp_path / "corpus"
    folder.mkdir()
    jsonl(folder / "train.jsonl", ROWS[:10])
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "train", "eval", name=str(folder), validation_share=share)
    (loaded,) = caught.value.problems
    assert (loaded.key, loaded.hint) == (problem.key, problem.hint)


def test_documents_that_are_all_the_same_cannot_be_split(tmp_path: Path) -> None:
    same = jsonl(tmp_path / "same.jsonl", [ROWS[0]] * 9)
    (problem,) = check(train_file=same, validation_share=0.1)
    assert problem.hint == "Set data.validation_file to a file."


def test_what_a_broken_file_has_is_reported_once(tmp_path: Path) -> None:
    path = jsonl(tmp_path / "rows.jsonl", [{"a": "b", "c": "d"}])
    (problem,) = check(train_file=path, validation_share=0.1)
    assert problem.key == "data.text_column"
    (problem,) = check(train_file=f"{path}.gz", validation_share=0.1)
    assert problem.key == "data.train_file"


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"validation_share": 0}, "must be more than 0 and less than 1, not 0"),
        ({"test_share": 1.0}, "must be more than 0 and less than 1, not 1"),
        ({"test_share": float("nan")}, "not nan"),
        ({"validation_share": 0.5, "test_share": 0.5}, "leaves nothing to train on"),
        (
            {"name": "a/b", "validation_share": 0.1, "validation_split": "train[90%:]"},
            "together with data.validation_split=train",
        ),
    ],
)
def test_what_contradicts_a_share(config: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DataConfig(**config)
    (problem,) = caught.value.problems
    assert message in problem.what
