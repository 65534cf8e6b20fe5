from __future__ import annotations

import json

import numpy as np

from summexp.data.health import (
    CorpusHealth,
    Hashes,
    Overlap,
    SplitHealth,
    count_overlaps,
    count_repeats,
    row_hashes,
)


def hashes(*pairs: tuple[str, str]) -> Hashes:
    data = b"".join(b"".join(row_hashes(*pair)) for pair in pairs)
    return np.frombuffer(data, np.uint64).reshape(-1, 2)


TRAIN = hashes(("a", "1"), ("a ", " 1"), ("a", "2"), ("b", "1"), ("c", "3"), ("c", "3"))
VALIDATION = hashes(("a", "9"), ("a", "8"), ("x", "1"))
TEST = hashes(("x", "1"), ("y", "2"), ("b", "4"), ("z", "1"))


def test_repeats_are_counted_without_regard_to_outer_white_space() -> None:
    split = SplitHealth(rows=6)
    count_repeats(split, TRAIN)
    assert (split.duplicate_rows, split.duplicate_documents) == (2, 3)


def test_document_and_summary_are_distinguished() -> None:
    assert row_hashes("ab", "c")[1] != row_hashes("a", "bc")[1]
    assert row_hashes("a", None) == row_hashes("a", "")


def test_overlaps_count_the_rows_of_the_later_split() -> None:
    assert count_overlaps({"train": TRAIN, "validation": VALIDATION, "test": TEST}) == [
        Overlap(split="validation", also_in="train", rows=2),
        Overlap(split="test", also_in="train", rows=1),
        Overlap(split="test", also_in="validation", rows=1),
    ]


def test_a_large_corpus_is_compared_at_once() -> None:
    one = np.arange(600_000, dtype=np.uint64).reshape(-1, 2)
    (overlap,) = count_overlaps({"train": one, "test": one[:1000]})
    assert overlap.rows == 1000


def test_only_what_is_worth_it_is_shown() -> None:
    health = CorpusHealth(
        splits={
            "train": SplitHealth(
                rows=1210,
                empty_document=2,
                empty_summary=8,
                dropped=10,
                duplicate_rows=3,
                duplicate_documents=5,
                truncated_documents=300,
                truncated_summaries=0,
                document_tokens=1000,
                unknown_document_tokens=123,
                summary_tokens=10000,
                unknown_summary_tokens=4,
            ),
            "validation": SplitHealth(rows=100),
            "test": SplitHealth(streamed=True),
        },
        overlaps=[
            Overlap(split="validation", also_in="train", rows=4),
            Overlap(split="test", also_in="train", rows=0),
        ],
    )
    assert health.lines() == [
        "train: 1,200 rows (10 dropped, 2 without a document, 8 without a summary, 3 duplicate, "
        "2 with a duplicate document, 25.0 % of the documents truncated, "
        "12.3 % of the tokens of the documents unknown)",
        "validation: 100 rows",
        "test: streamed, rows are not counted",
        "documents of validation that are also in train: 4 (4.0 %)",
    ]


def test_the_counts_are_plain_json() -> None:
    health = CorpusHealth(splits={"train": SplitHealth(rows=3, dropped=1)}, overlaps=[])
    stored = json.loads(json.dumps(health.to_json()))
    assert stored["splits"]["train"]["rows"] == 3
    assert stored["splits"]["train"]["truncated_documents"] is None
    assert stored["overlaps"] == []
