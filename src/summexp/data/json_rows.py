"""Reader of JSON files: JSON Lines, concatenated objects, an array, or an object with an array."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import TextIO

from summexp.errors import ConfigError

_CHUNK = 1 << 16
_SPACE = re.compile(r"\s*")


def rows(stream: TextIO, name: str, *, wrapped: bool) -> Iterator[dict[str, object]]:
    """Yield each object of the file, read incrementally.

    Args:
        stream: the text.
        name: name of the file in messages.
        wrapped: whether a file of a single object with one list of objects means that list. Such a
            file is read completely.

    Raises:
        ConfigError: invalid JSON (with its line), or a row that is not an object.
    """
    scanner = _Scanner(stream, name)
    if scanner.peek() == "[":
        yield from _array(scanner, name)
        return
    if not scanner.peek():
        return
    first = _as_row(scanner.value(), scanner, name)
    if wrapped and not scanner.peek():
        yield from _unwrap(first, name)
        return
    yield first
    while scanner.peek():
        yield _as_row(scanner.value(), scanner, name)


def _array(scanner: _Scanner, name: str) -> Iterator[dict[str, object]]:
    scanner.skip()
    if scanner.peek() == "]":
        scanner.skip()
    else:
        while True:
            yield _as_row(scanner.value(), scanner, name)
            mark = scanner.peek()
            scanner.skip()
            if mark == "]":
                break
            if mark != ",":
                found = f"found {mark!r}" if mark else "the file ends"
                raise ConfigError(
                    f"{name}, line {scanner.line}: expected ',' or ']' after a row, but {found}"
                )
    if scanner.peek():
        raise ConfigError(f"{name}, line {scanner.line}: unexpected content after the array")


def _as_row(value: object, scanner: _Scanner, name: str) -> dict[str, object]:
    if isinstance(value, dict):
        return value
    raise ConfigError.of(
        what=f"{name}, line {scanner.line}: a row must be an object, not {_kind(value)}",
        hint='Write each row as {"document": "…", "summary": "…"}.',
    )


def _kind(value: object) -> str:
    return "a list" if isinstance(value, list) else f"{json.dumps(value, ensure_ascii=False)[:40]}"


def _unwrap(only: dict[str, object], name: str) -> Iterator[dict[str, object]]:
    lists = {
        key: value
        for key, value in only.items()
        if isinstance(value, list) and value and all(isinstance(row, dict) for row in value)
    }
    if len(lists) > 1:
        raise ConfigError.of(
            what=f"{name} holds several lists of rows: {', '.join(map(repr, lists))}",
            hint="Write the list to use into a separate file.",
        )
    for rows_of_list in lists.values():
        yield from rows_of_list
        return
    if only and (
        all(isinstance(cell, list) for cell in only.values())
        or all(isinstance(cell, dict) for cell in only.values())
    ):
        raise ConfigError.of(
            what=f"{name} is an object of columns, not rows",
            hint="With pandas: frame.to_json(path, orient='records', force_ascii=False).",
        )
    yield only


class _Scanner:
    """Incremental reader of concatenated JSON values."""

    def __init__(self, stream: TextIO, name: str) -> None:
        self._stream = stream
        self._name = name
        self._text = ""
        self._at = 0
        self._lines_before = 0
        self._decoder = json.JSONDecoder()

    @property
    def line(self) -> int:
        """Current line number, from 1."""
        return self._lines_before + self._text.count("\n", 0, self._at) + 1

    def peek(self) -> str:
        """Return the next character that is not white space, or "" at the end."""
        while True:
            match = _SPACE.match(self._text, self._at)
            assert match is not None
            self._at = match.end()
            if self._at < len(self._text):
                return self._text[self._at]
            if not self._more():
                return ""

    def skip(self) -> None:
        """Skip the character that `peek` returned."""
        self._at += 1

    def value(self) -> object:
        """Read and return the next value."""
        self.peek()
        while True:
            begins = self._at
            try:
                value, self._at = self._decoder.raw_decode(self._text, begins)
            except json.JSONDecodeError as error:
                if self._may_be_cut(error) and self._more():
                    continue
                raise self._broken(error, begins) from None
            except RecursionError:
                raise ConfigError(f"{self._name}, line {self.line}: too deeply nested") from None
            return value

    def _more(self) -> bool:
        """Read more text, at least doubling the buffer, so that huge values take linear time."""
        text = self._stream.read(max(_CHUNK, len(self._text) - self._at))
        self._lines_before += self._text.count("\n", 0, self._at)
        self._text = self._text[self._at :] + text
        self._at = 0
        return bool(text)

    def _may_be_cut(self, error: json.JSONDecodeError) -> bool:
        """Return whether the value may be incomplete only because the rest has not been read."""
        longest_token = len("-Infinity")
        return error.msg.startswith("Unterminated string") or (
            error.pos >= len(self._text) - longest_token
        )

    def _broken(self, error: json.JSONDecodeError, begins: int) -> ConfigError:
        # The line of the error counts from the start of the buffer.
        line = self.line + error.doc.count("\n", begins, error.pos)
        return ConfigError.of(
            what=f"{self._name}, line {self.line}: this row is not valid JSON: "
            f"{error.msg} (line {line}, column {error.colno})",
            hint="Write JSON Lines (one object per line) or one array of objects.",
        )
