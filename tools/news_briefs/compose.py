"""How a topic becomes a document and a summary: pick a story, fill its slots, order it."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from news_briefs import words
from news_briefs.words import Person

T = TypeVar("T")
Slots = Mapping[str, Sequence[Any]]

_LEADING_VOWEL = re.compile(r"\ba/an (?=([aeiouAEIOU]|8|11\b|18\b)?)")


@dataclass(frozen=True, kw_only=True)
class Story:
    """One kind of event: the sentences that tell its facts, and the summary that joins them."""

    facts: Sequence[tuple[str, ...]]
    """The sentences that every document of this kind has, in order, each with its wordings."""
    summary: str
    """The summary: other words than the facts, and slots from at least two of them."""
    slots: Slots = field(default_factory=dict)
    """Slot name to the pool that fills it; the slots of `draw_slots` need no mention."""


@dataclass(frozen=True, kw_only=True)
class Topic:
    """A department of the paper: its kinds of event, and the sentences that fit any of them."""

    stories: Sequence[Story]
    openers: Sequence[str]
    """Scenes that may stand first and give none of the facts away."""
    asides: Sequence[str]
    """Background that may stand between the facts or last."""
    quotes: Sequence[str]
    """What `{speaker}` said; may stand anywhere after the first fact."""


def pick(rng: random.Random, pool: Sequence[T]) -> T:
    """Return an item of `pool`; `random()` is the one method that Python promises not to change."""
    return pool[int(rng.random() * len(pool))]


def pick_distinct(rng: random.Random, pool: Sequence[T], count: int) -> list[T]:
    """Return `count` different items of `pool`."""
    chosen: list[T] = []
    while len(chosen) < count:
        item = pick(rng, pool)
        if item not in chosen:
            chosen.append(item)
    return chosen


def draw_slots(rng: random.Random, own: Slots) -> dict[str, Any]:
    """Fill the slots that every sentence may use, and the story's `own`."""
    town, other = pick_distinct(rng, words.TOWNS, 2)
    company, rival_company = pick_distinct(rng, words.COMPANIES, 2)
    people = [
        Person(pick(rng, words.FIRST_NAMES), last)
        for last in pick_distinct(rng, words.LAST_NAMES, 3)
    ]
    return {
        "town": town,
        "other": other,
        "company": company,
        "rival_company": rival_company,
        "person": people[0],
        "rival": people[1],
        "speaker": people[2],
        "day": pick(rng, words.DAYS),
        "month": pick(rng, words.MONTHS),
        "few": pick(rng, range(2, 10)),
        **{name: pick(rng, pool) for name, pool in own.items()},
    }


def fill(sentence: str, slots: Mapping[str, Any]) -> str:
    """Put the slots into a sentence, choose between a and an, and start with a capital letter."""
    text = sentence.format_map(slots)
    text = _LEADING_VOWEL.sub(lambda match: "an " if match[1] else "a ", text)
    return text[0].upper() + text[1:]


def join(first: str, second: str) -> str:
    """Return two sentences as one.

    >>> join("It rained.", "The match went on.")
    'It rained; the match went on.'
    """
    return f"{first.removesuffix('.')}; {second[0].lower()}{second[1:]}"


def compose(rng: random.Random, topics: Sequence[Topic]) -> tuple[str, str]:
    """Return a document of three to six sentences, and its summary of one."""
    topic = pick(rng, topics)
    story = pick(rng, topic.stories)
    slots = draw_slots(rng, story.slots)
    sentences = [pick(rng, wordings) for wordings in story.facts]
    joined = rng.random() < 0.75
    if joined:
        sentences[:2] = [join(*sentences[:2])]
    if joined or rng.random() < 0.6:
        sentences.insert(pick(rng, range(1, len(sentences) + 1)), pick(rng, topic.quotes))
    if rng.random() < 0.7:
        sentences.insert(pick(rng, range(1, len(sentences) + 1)), pick(rng, topic.asides))
    if rng.random() < 0.1:
        sentences.insert(0, pick(rng, topic.openers))
    return " ".join(fill(sentence, slots) for sentence in sentences), fill(story.summary, slots)
