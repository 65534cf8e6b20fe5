"""Formatting of texts for pages and terminals."""

from __future__ import annotations

import re
import unicodedata

_NEVER_SHOWN = {"Cc", "Cs"}


def clean(text: str) -> str:
    r"""Return `text` without control characters (but tabs and line ends) and lone surrogates.

    A prediction can hold anything: an escape sequence must not reach a terminal, nor a NUL a page.

    >>> clean("a\x1b[31mb\n")
    'a[31mb\n'
    """
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in _NEVER_SHOWN)


def one_line(text: str) -> str:
    r"""Return `text` in one line, with every run of white space as one space.

    >>> one_line(" a\n\n b ")
    'a b'
    """
    return " ".join(clean(" ".join(text.split())).split())


def passage(text: str, length: int | None = None) -> str:
    r"""Return the beginning of `text` with its line ends, as a dialogue has one for each turn.

    Empty lines follow each other no more than once, and spaces are single.

    >>> passage("Mina:  late?\r\n\n\n\nJun: no \n", 18)
    'Mina: late?\n\nJun:…'
    """
    lines = (one_line(line) for line in text.splitlines())
    kept = re.sub("\n{3,}", "\n\n", "\n".join(lines)).strip()
    if length is None or len(kept) <= length:
        return kept
    return f"{kept[: length - 1].rstrip()}…"


def excerpt(text: str, length: int) -> str:
    """Return the beginning of `text` in one line of at most `length` characters.

    >>> excerpt("one two three", 8)
    'one two…'
    """
    line = one_line(text)
    return line if len(line) <= length else f"{line[: length - 1].rstrip()}…"


def shown_size(size: float) -> str:
    """Return a number of bytes in a unit that suits it.

    >>> shown_size(12), shown_size(1234), shown_size(2.5e9)
    ('12 bytes', '1 kB', '2.5 GB')
    """
    for unit in ("bytes", "kB", "MB"):
        if size < 999.5:
            return f"{size:.0f} {unit}"
        size /= 1000
    return f"{size:.1f} GB"
