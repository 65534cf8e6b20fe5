"""Declaring options, and reading what is written under them."""

from __future__ import annotations

from dataclasses import dataclass, field

from summexp.data.config import DataConfig
from summexp.options import choice, declared_choices, field_docs


@dataclass(kw_only=True)
class Base:
    """Not the text of a field."""

    first: int = 1
    """The first,
    over two lines."""
    silent: int = 2
    last: str = "x"
    """Replaced below."""


@dataclass(kw_only=True)
class Derived(Base):
    kind: str = choice("a", "a", "b")
    """A choice."""
    many: list[int] = field(default_factory=list)
    """A list."""
    last: str = "y"
    """The last."""
    constant = 3
    """No field: it has no annotation."""

    def method(self) -> None:
        """Not a field either."""


def test_field_docs_are_the_texts_under_the_fields_in_their_order() -> None:
    assert field_docs(Derived) == {
        "first": "The first, over two lines.",
        "last": "The last.",
        "kind": "A choice.",
        "many": "A list.",
    }
    assert list(field_docs(Derived)) == ["first", "last", "kind", "many"]


def test_field_docs_of_a_config() -> None:
    docs = field_docs(DataConfig)
    assert docs["text_column"].startswith("Column of the documents;")
    assert "summary_column" in docs


def test_declared_choices() -> None:
    assert dict(declared_choices(Derived)) == {"kind": ("a", "b")}
    assert Derived().kind == "a"
