"""Names and words that every topic draws from, all invented or composed for this corpus.

The pools are small on purpose: a few dozen names, each seen often enough that a model of a million
weights learns it within minutes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace

TOWNS = (
    *("Alderwick", "Bramford", "Corsley", "Dunhaven", "Elmsby", "Fenmouth", "Garrow", "Harlow Bay"),
    *("Istrow", "Jarnley", "Keldon", "Lorwick", "Marlby", "Nettleford", "Ostermouth", "Penhaven"),
    *("Quillby", "Rowandale", "Sandrow", "Tarnley", "Umberton", "Velmouth", "Westrow", "Yarnford"),
)
FIRST_NAMES = (
    *("Ada", "Bela", "Cora", "Dario", "Edda", "Faris", "Greta", "Hanno", "Ilka", "Jonas"),
    *("Kira", "Lorin", "Mira", "Nils", "Orla", "Pavo", "Runa", "Samir", "Talia", "Viktor"),
)
LAST_NAMES = (
    *("Arbold", "Brenning", "Calloway", "Dorsett", "Eklund", "Farrow", "Grindal", "Hallam"),
    *("Ivarsen", "Jessop", "Kestrel", "Lomax", "Merrin", "Nordal", "Oakes", "Pellow"),
    *("Quint", "Radley", "Sorrel", "Tolland", "Ulmer", "Varga", "Wexley", "Yardley"),
)
COMPANIES = (
    *("Amberline", "Brightwell", "Copperleaf", "Deltora", "Evermoor", "Fernhold", "Glasson"),
    *("Hollowbrook", "Ironvale", "Juniper", "Larkmont", "Mosswood", "Northgate", "Oakline"),
    *("Pinecrest", "Redstone", "Silverton", "Tidewell"),
)
RIVERS = ("Arn", "Bellow", "Cray", "Dorn", "Esk", "Fallow", "Lim", "Tarn")
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
HUNDREDS = range(200, 1000, 100)
PERCENT = range(3, 25)


@dataclass(frozen=True)
class Person:
    """Someone in the news: `{person}` is the full name, `{person.last}` the family name."""

    first: str
    last: str

    def __str__(self) -> str:
        return f"{self.first} {self.last}"


def table(columns: str, *rows: str) -> Sequence[SimpleNamespace]:
    """Return a pool whose items have named parts, so that one draw gives words that go together.

    >>> table("past|noun", "fell|fall")[0].noun
    'fall'
    """
    names = columns.split("|")
    return [SimpleNamespace(**dict(zip(names, row.split("|"), strict=True))) for row in rows]


MOVES = table(
    "past|verb|noun|more",
    "climbed|raise|rise|more",
    "grew|raise|rise|more",
    "dropped|lower|fall|less",
    "shrank|lower|fall|less",
)
"""A change up or down: the documents' verb, and the summaries' verb and noun for the same."""
