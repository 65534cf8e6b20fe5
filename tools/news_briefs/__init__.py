"""Generator of the bundled corpus `news_briefs`.

The pairs are a pure function of this code: no clock, no locale, no hash seed.
"""

from __future__ import annotations

import random

from news_briefs.compose import compose
from news_briefs.topics_life import TOPICS as LIFE
from news_briefs.topics_society import TOPICS as SOCIETY
from news_briefs.topics_work import TOPICS as WORK

_SEED = 20
_SHORTEST = 40
"""Minimum number of words of a document."""
_TOPICS = (*LIFE, *SOCIETY, *WORK)


def generate(count: int) -> dict[str, str]:
    """Return `count` documents, each with its summary."""
    rng = random.Random(_SEED)
    pairs: dict[str, str] = {}
    while len(pairs) < count:
        document, summary = compose(rng, _TOPICS)
        if len(document.split()) >= _SHORTEST:
            pairs[document] = summary
    return pairs
