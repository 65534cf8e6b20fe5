"""Bundled corpus `news_briefs`: short news items with one-line summaries, from a seeded generator.

It is a demonstration corpus: large and varied enough to show a model learning to summarize in a
minute, without a network, and simple enough for a model of a million weights. People, places,
companies and events are invented. A document has three to six sentences; the summary rephrases two
or three of them, not only the first. Names come from small pools, the same in every split, and each
kind of event is summarized in one way. Scores on it therefore show that training works, and nothing
about summarizing real news.

The rows are a pure function of this code: no clock, no locale, no hash seed.

Tested in tests/data/test_news_briefs.py.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import cache
from itertools import accumulate

from summexp.data.news_briefs.compose import compose
from summexp.data.news_briefs.topics_life import TOPICS as LIFE
from summexp.data.news_briefs.topics_society import TOPICS as SOCIETY
from summexp.data.news_briefs.topics_work import TOPICS as WORK

SIZES = {"train": 4000, "validation": 400, "test": 400}
"""Rows of each split."""

_SEED = 20
_SHORTEST = 40
"""Minimum number of words of a document."""
_TOPICS = (*LIFE, *SOCIETY, *WORK)


@cache
def _pairs() -> tuple[tuple[str, str], ...]:
    """Return the (document, summary) pairs of all splits, without duplicate documents."""
    rng = random.Random(_SEED)
    pairs: dict[str, str] = {}
    while len(pairs) < sum(SIZES.values()):
        document, summary = compose(rng, _TOPICS)
        if len(document.split()) >= _SHORTEST:
            pairs[document] = summary
    return tuple(pairs.items())


def generate(split: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a split: `id` (such as `train-00042`), `document` and `summary`.

    Raises:
        KeyError: `split` is not in `SIZES`.
    """
    ends = dict(zip(SIZES, accumulate(SIZES.values()), strict=True))
    rows = _pairs()[ends[split] - SIZES[split] : ends[split]]
    for number, (document, summary) in enumerate(rows):
        yield {"id": f"{split}-{number:05d}", "document": document, "summary": summary}
