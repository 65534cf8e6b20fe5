"""Summarization of long documents in chunks: summaries of summaries, until one is left."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain, islice

from datasets import Dataset

from summexp.data.chunking import LongDocuments


@dataclass(frozen=True)
class Summary:
    """A generated summary."""

    text: str
    """Text, stripped and without special tokens."""
    tokens: int
    """Number of tokens."""


def summarize_long(
    long: LongDocuments,
    summarize: Callable[[Dataset], Mapping[int, Summary]],
    on_more: Callable[[int], None],
) -> dict[int, Summary]:
    """Summarise the chunks of each document, then the merged summaries, until one is left.

    It terminates, since each round has fewer chunks of a document than the one before (see
    `Chunker.merge`).

    Args:
        long: the documents and their chunks.
        summarize: returns the summary of each row of `input_ids`, by row number.
        on_more: called with the number of chunks of each round after the first.

    Returns:
        Row number to summary.
    """
    done: dict[int, Summary] = {}
    counts, chunks = long.counts, long.chunks
    while counts:
        found = summarize(chunks)
        summaries = (found[number] for number in range(len(chunks)))
        again: dict[int, list[list[int]]] = {}
        for row, count in counts.items():
            parts = list(islice(summaries, count))
            if count == 1:
                done[row] = parts[0]
            else:
                again[row] = long.chunker.merge([part.text for part in parts])
        counts = {row: len(cut) for row, cut in again.items()}
        chunks = Dataset.from_dict({"input_ids": list(chain.from_iterable(again.values()))})
        on_more(len(chunks))
    return done
