"""The bundled corpus: pinned, clean, and no gift to a model that copies the first sentence."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from statistics import fmean

import pytest
from rouge_score.rouge_scorer import RougeScorer

from news_briefs.compose import fill, join
from summexp.data.news_briefs import SIZES, bundled_rows

SHA256 = {
    "train": "5113607b3c29c570662a975f67724862bc6db573c63cbd30729b1805559022d2",
    "validation": "95498261c57f9fff5274b6e863334a0f5c4d35ed73b795d3bfbabe11d5741185",
    "test": "81142e8cf98098b520f438042645c6d27c5465500dcee3b7bb385f0347b1c819",
}
TOOLS = Path(__file__).resolve().parents[2] / "tools"
SENTENCE_END = re.compile(r'(?<=[.?!])"? (?=[A-Z"])')


@pytest.fixture(scope="module")
def rows() -> dict[str, list[dict[str, str]]]:
    return {split: list(bundled_rows(split)) for split in SIZES}


def canonical(rows: list[dict[str, str]]) -> str:
    text = json.dumps(rows, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


@pytest.mark.parametrize("split", SIZES)
def test_the_rows_are_pinned(rows: dict[str, list[dict[str, str]]], split: str) -> None:
    assert canonical(rows[split]) == SHA256[split]


def test_the_generator_gives_these_rows(rows: dict[str, list[dict[str, str]]]) -> None:
    pairs = [[row["document"], row["summary"]] for split in SIZES for row in rows[split]]
    code = f"import json, news_briefs as n; print(json.dumps([*n.generate({len(pairs)}).items()]))"
    reported = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": "7"},
        cwd=TOOLS,
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(reported.stdout) == pairs


def test_rows_have_ids_documents_and_summaries(rows: dict[str, list[dict[str, str]]]) -> None:
    assert {split: len(of_split) for split, of_split in rows.items()} == SIZES
    for split, of_split in rows.items():
        assert [row["id"] for row in of_split] == [f"{split}-{n:05d}" for n in range(SIZES[split])]
        assert all(set(row) == {"id", "document", "summary"} for row in of_split)


def test_no_document_comes_twice(rows: dict[str, list[dict[str, str]]]) -> None:
    documents = [row["document"] for of_split in rows.values() for row in of_split]
    assert len(set(documents)) == sum(SIZES.values())


def test_an_unknown_split_is_rejected() -> None:
    with pytest.raises(KeyError, match="dev"):
        next(bundled_rows("dev"))


def test_lengths(rows: dict[str, list[dict[str, str]]]) -> None:
    for row in (row for of_split in rows.values() for row in of_split):
        assert 40 <= len(row["document"].split()) <= 120, row
        assert 8 <= len(row["summary"].split()) <= 20, row
        assert 3 <= len(SENTENCE_END.split(row["document"])) <= 6, row


def test_texts_are_clean(rows: dict[str, list[dict[str, str]]]) -> None:
    for row in (row for of_split in rows.values() for row in of_split):
        for text in (row["document"], row["summary"]):
            assert text.isascii()
            assert not re.search(
                r"[{}]|a/an|  |\.\.|\b[Aa] [aeiouAEIOU]|\b[Aa]n (?!hour)[^aeiou8A-Z1]", text
            )
            assert text[0] in '"' or not text[0].islower()
        assert row["summary"].endswith(".")


def test_the_first_sentence_is_no_summary(rows: dict[str, list[dict[str, str]]]) -> None:
    scorer = RougeScorer(["rougeL"], use_stemmer=True)
    score = 100 * fmean(
        scorer.score(row["summary"], SENTENCE_END.split(row["document"])[0])["rougeL"].fmeasure
        for row in rows["validation"]
    )
    assert 24 < score < 33


@pytest.mark.parametrize(
    ("filling", "expected"),
    [("owl", "An owl"), ("goat", "A goat"), ("8", "An 8"), ("11", "An 11"), ("12", "A 12")],
)
def test_the_article_fits_the_word(filling: str, expected: str) -> None:
    assert fill("a/an {word}", {"word": filling}) == expected


def test_joined_sentences_are_one() -> None:
    assert join("{town} slept.", "On {day} it rained.") == "{town} slept; on {day} it rained."
