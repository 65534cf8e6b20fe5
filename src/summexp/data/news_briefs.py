"""Bundled corpus `news_briefs`: short news items with one-line summaries, generated for this.

It is a demonstration corpus: large and varied enough to show a model learning to summarize in a
minute, without a network, and simple enough for a model of a million weights. People, places,
companies and events are invented. A document has three to six sentences; the summary rephrases two
or three of them, not only the first. Names come from small pools, the same in every split, and each
kind of event is summarized in one way. Scores on it therefore show that training works, and nothing
about summarizing real news.

The file beside this module is written by `tools/generate_news_briefs.py`.
"""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from functools import cache
from itertools import accumulate
from pathlib import Path

SIZES = {"train": 4000, "validation": 400, "test": 400}
"""Rows of each split."""

FILE = Path(__file__).with_suffix(".jsonl.xz")
"""The documents and summaries of all splits, one after the other."""


def bundled_rows(split: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a split: `id` (such as `train-00042`), `document` and `summary`.

    Raises:
        KeyError: `split` is not in `SIZES`.
    """
    ends = dict(zip(SIZES, accumulate(SIZES.values()), strict=True))
    pairs = _pairs()[ends[split] - SIZES[split] : ends[split]]
    for number, (document, summary) in enumerate(pairs):
        yield {"id": f"{split}-{number:05d}", "document": document, "summary": summary}


@cache
def _pairs() -> tuple[tuple[str, str], ...]:
    """Return the (document, summary) pairs of all splits."""
    with lzma.open(FILE, "rt", encoding="utf-8") as lines:
        return tuple((row["document"], row["summary"]) for row in map(json.loads, lines))
