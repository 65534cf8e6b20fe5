"""Of a node's ranks, one reads, trains the tokenizer and tokenizes; the others take it over."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests import forked

SPLITS = {"train": 24, "validation": 6, "test": 5}
WORDS = (
    "hardware=cpu",
    "data=custom_json",
    *(f"data.{split}_file={split}.jsonl" for split in SPLITS),
    "model.architecture.d_model=32",
    "model.architecture.d_ff=64",
    "generation.max_new_tokens=2",
    "training.max_steps=1",
    "training.do_predict=true",
    "output_dir=run",
)
HEAD_START = 0.5
"""Seconds in which another rank would do the work too if nothing held it back."""


def take_notes() -> None:
    """Let this rank write down what it reads and tokenizes; the first one takes its time."""
    from summexp.data.source_files import RowReader
    from summexp.data.tokenize import Tokenizing
    from summexp.modeling import model_builder

    rank = os.environ["RANK"]
    rows, tokenized = RowReader.__iter__, Tokenizing.__call__
    trained = model_builder.corpus_tokenizer

    def note(what: str) -> None:
        with Path("notes").open("a", encoding="utf-8") as file:
            file.write(f"{rank} {what}\n")

    def read(self: RowReader) -> Iterator[Any]:
        note(f"read {Path(self.file.path).name}")
        if rank == "0":
            time.sleep(HEAD_START)
        yield from rows(self)

    def call(self: Tokenizing, batch: dict[str, list[Any]]) -> dict[str, list[Any]]:
        note(f"tokenized {len(batch['document'])}")
        return tokenized(self, batch)

    def corpus_tokenizer(texts: Callable[[], Iterable[str]], **options: Any) -> Any:
        def counted() -> Iterable[str]:
            note("trained a tokenizer")
            return texts()

        return trained(counted, **options)

    RowReader.__iter__ = read  # type: ignore[method-assign]
    Tokenizing.__call__ = call  # type: ignore[method-assign]
    model_builder.corpus_tokenizer = corpus_tokenizer


def write_rows(folder: Path) -> None:
    for split, count in SPLITS.items():
        rows = [
            {"document": f"{split} {n}. The {n}th river rose. It rained.", "summary": f"Rain {n}."}
            for n in range(count)
        ]
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (folder / f"{split}.jsonl").write_text(lines, encoding="utf-8")


@pytest.mark.parametrize("overwrite", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_only_one_rank_reads_and_tokenizes(overwrite: bool, tmp_path: Path) -> None:
    write_rows(tmp_path)
    cache = tmp_path / "cache"
    codes = forked.run_ranks(
        2,
        *WORDS,
        f"data.overwrite_cache={overwrite}",
        log=tmp_path / "log",
        cwd=tmp_path,
        environment={"SUMMEXP_CACHE": str(cache)},
        before=take_notes,
    )
    assert codes == [0, 0], (tmp_path / "log.0").read_text()
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["world_size"] == 2
    notes = (tmp_path / "notes").read_text(encoding="utf-8").splitlines()
    assert sorted(notes) == sorted(
        [
            *(f"0 read {split}.jsonl" for split in SPLITS),
            *(f"0 tokenized {count}" for count in SPLITS.values()),
            "0 trained a tokenizer",
        ]
    )
    assert len(list((cache / "tokenized").glob("*.arrow"))) == len(SPLITS)
    assert len(list((cache / "tokenizers").glob("*.json"))) == 1
    assert len(list((cache / "corpus").iterdir())) == len(SPLITS)
