"""Selection of the columns of documents, summaries and row IDs, by name."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple
from unicodedata import normalize

import regex

from summexp.data.config import DataConfig
from summexp.errors import ConfigError, Problem, nearest

logger = logging.getLogger(__name__)

KNOWN_PAIRS: tuple[tuple[str, str], ...] = (
    ("document", "summary"),
    ("documents", "tldr"),
    ("article", "highlights"),
    ("article", "summary"),
    ("article", "abstract"),
    ("text", "summary"),
    ("text", "headline"),
    ("content", "summary"),
    ("source", "target"),
    ("dialogue", "summary"),
    ("dialog", "summary"),
    ("transcript", "summary"),
    ("body", "summary"),
    ("news_body", "news_title"),
    ("description", "abstract"),
    ("report", "summary"),
    ("review_body", "review_title"),
    ("email_body", "subject_line"),
    ("extract_text", "summary_text"),
)
"""(document, summary) column names of published summarization corpora, compared ignoring case.
(text, title) and the like are not included, since a `title` beside a real summary is common."""

EMPTY_DOCUMENT = "empty document"
"""Reason for skipping a row with a missing or blank document."""

_DOCUMENT_NAMES = frozenset(document for document, _ in KNOWN_PAIRS)
_SUMMARY_NAMES = frozenset(summary for _, summary in KNOWN_PAIRS)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """The columns of one split."""

    document: str
    """Column of the documents."""
    summary: str | None
    """Column of the summaries; None if the split has none, or has lists of references only."""
    id: str | None
    """Column of the row IDs; None to use row numbers."""
    references: str | None = None
    """Column of lists of references; None if each row has one summary. Without a column of
    summaries, the first reference is the summary."""


COLUMN_KEYS = ("text_column", "summary_column", "id_column", "references_column")
"""Keys of the `data` group that name a column."""

_BLANK = regex.compile(r"[\s\p{Cc}\p{Default_Ignorable_Code_Point}\u2800]*")
"""White space, control characters, and characters without width or ink, such as U+200B, the Hangul
fillers and the blank Braille pattern."""


def is_blank(text: str) -> bool:
    r"""Return whether `text` has no visible character.

    >>> is_blank("\u3000\u200b\n"), is_blank(".")
    (True, False)
    """
    return _BLANK.fullmatch(text) is not None


class Example(NamedTuple):
    """One row in the common format."""

    id: str
    """ID of the row, or its number from 0."""
    document: str
    """The full document; may be empty."""
    summary: str | None
    """The full summary; None if missing or blank."""
    references: tuple[str, ...] = ()
    """All references of the row, `summary` first, if there are several; else empty."""


def choose_columns(
    available: Sequence[str],
    config: DataConfig,
    *,
    needs_summary: bool,
    source: str,
    sample: Callable[[], Mapping[str, str]],
    log_choice: bool = True,
) -> Columns:
    """Select the columns of one split, by the names in the config or by a known pair of names.

    Args:
        available: the split's column names.
        config: may set `text_column`, `summary_column`, `id_column` and `references_column`.
        needs_summary: False for prediction, where references are optional. A missing
            `summary_column` is then ignored, unless its name is close to an existing one; where it
            is True, so is a missing `id_column`, which names predictions. With a column of
            references, no split needs one of summaries.
        source: name of the split in messages.
        sample: returns a short value of each column, for error messages.
        log_choice: whether to log the selected columns that the config does not name.

    Raises:
        ConfigError: a named column is missing, or the selection is ambiguous.
    """
    names = list(available)
    config = _as_spelt(config, names)
    if problems := list(_missing(names, config, source, needs_summary=needs_summary)):
        raise ConfigError(problems)
    summary: str | None
    pairs = _candidates(names, config)
    several = config.references_column or _only("references", names)
    several = several if several in names and several != config.text_column else None
    does_without = not needs_summary or (several is not None and config.summary_column is None)
    if len(pairs) == 1:
        document, summary = pairs[0]
    elif not pairs and does_without and (lone := _lone_document(names, config)):
        document, summary = lone, None
    elif needs_summary and len(names) == 1:
        raise ConfigError(_no_summaries(names[0], source))
    else:
        raise ConfigError(_undecided(names, config, source, sample(), pairs))
    chosen = Columns(
        document=document,
        summary=summary,
        id=_only("id", names) if config.id_column is None else _present(config.id_column, names),
        references=several,
    )
    if log_choice:
        _log_choice(chosen, config, source)
    return chosen


def examples(
    rows: Iterable[Mapping[str, object]], columns: Columns, source: str
) -> Iterator[Example]:
    """Yield each row as an `Example`.

    Raises:
        ConfigError: a document or summary is not text (a list, an object, bytes).
    """
    for number, row in enumerate(rows):
        yield to_example(row, number, columns, source)


def to_example(row: Mapping[str, object], number: int, columns: Columns, source: str) -> Example:
    """Return a row as an `Example`.

    Args:
        row: the row.
        number: its number from 0.
        columns: the columns of its split.
        source: name of the source in messages.

    Raises:
        ConfigError: a document or summary is not text (a list, an object, bytes).
    """
    try:
        name = to_text(row.get(columns.id)) if columns.id else ""
        document = to_text(row.get(columns.document))
        listed = _texts(row.get(columns.references)) if columns.references else []
        summary = to_text(_own_summary(row, columns, listed))
    except TypeError:
        raise ConfigError(_nested(row, columns, f"{source}, row {number + 1}")) from None
    if is_blank(summary):
        return Example(name or str(number), document, None)
    return Example(name or str(number), document, summary, _references(summary, listed))


def _own_summary(row: Mapping[str, object], columns: Columns, listed: Sequence[str]) -> object:
    """Return the summary of a row; without a column of summaries, the first reference."""
    name = columns.summary or columns.references
    cell = row.get(name) if name else None
    is_list = name == columns.references and not isinstance(cell, str)
    return next(iter(listed), None) if is_list else cell


def _texts(listed: object) -> list[str]:
    """Return the non-blank texts of a list; empty if the cell is not a list."""
    cells = listed if isinstance(listed, (list, tuple)) else ()
    return [to_text(one) for one in cells if isinstance(one, str) and not is_blank(one)]


def _references(summary: str, listed: Sequence[str]) -> tuple[str, ...]:
    """Return all references of a row, `summary` first; empty if there is only the summary."""
    # Duplicates are dropped: they do not change the best score.
    different = {summary.strip(): summary}
    for text in listed:
        different.setdefault(text.strip(), text)
    return tuple(different.values()) if len(different) > 1 else ()


def to_text(value: object) -> str:
    """Return a cell as text: None and NaN as "", other values by `str`.

    Raises:
        TypeError: the cell is a list, an object or bytes.
    """
    if isinstance(value, str):
        return value if value.isascii() else _without_lone_surrogates(value)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, (list, tuple, dict, set, bytes, bytearray)):
        raise TypeError(f"{type(value).__name__} is not text")
    return str(value)


def _without_lone_surrogates(text: str) -> str:
    # JSON allows half of a surrogate pair ("\ud83d"), which UTF-8 does not.
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text


def _as_spelt(config: DataConfig, names: list[str]) -> DataConfig:
    """Return the config with column names spelled as in the file.

    Names may differ in Unicode composition (é, Hangul) and in white space around them.
    """
    spelt = {_plain(name): name for name in names}
    named = {
        key: name for key in COLUMN_KEYS if (name := getattr(config, key)) and name not in names
    }
    own = {key: spelt.get(_plain(name), name) for key, name in named.items()}
    return replace(config, **own)


def _plain(name: str) -> str:
    return normalize("NFC", name).strip()


def _missing(
    names: list[str], config: DataConfig, source: str, *, needs_summary: bool
) -> Iterator[Problem]:
    for key in COLUMN_KEYS:
        name = getattr(config, key)
        if name is None or name in names:
            continue
        near = nearest(name, names)
        optional = key == "references_column" or (
            key == ("id_column" if needs_summary else "summary_column")
        )
        if optional and not near:
            continue
        listed = ", ".join(names)
        yield Problem(
            key=f"data.{key}",
            what=f"{source} has no column {name!r}",
            hint=f"{near} Its columns: {listed}."
            if near
            else f"Set data.{key}=COLUMN to one of its columns: {listed}",
        )


def _candidates(names: list[str], config: DataConfig) -> list[tuple[str, str]]:
    """Return the possible pairs: known pairs, or else pairs of known single names."""
    document, summary = config.text_column, config.summary_column
    if summary is not None and summary not in names:
        return []  # a split without references: do not use another column
    documents = [document] if document is not None else _of(_DOCUMENT_NAMES, names, but=summary)
    summaries = [summary] if summary is not None else _of(_SUMMARY_NAMES, names, but=document)
    pairs = [(one, other) for one in documents for other in summaries]
    known = [pair for pair in pairs if tuple(_plain(name).lower() for name in pair) in KNOWN_PAIRS]
    if known or (document is None and summary is None):
        return known
    return pairs


def _of(known: frozenset[str], names: list[str], *, but: str | None) -> list[str]:
    return [name for name in names if _plain(name).lower() in known and name != but]


def _lone_document(names: list[str], config: DataConfig) -> str | None:
    if config.text_column is not None:
        return config.text_column
    documents = _of(_DOCUMENT_NAMES, names, but=config.summary_column)
    return documents[0] if len(documents) == 1 else None


def _only(wanted: str, names: list[str]) -> str | None:
    found = [name for name in names if _plain(name).lower() == wanted]
    return found[0] if len(found) == 1 else None


def _present(wanted: str, names: list[str]) -> str | None:
    return wanted if wanted in names else None


def _no_summaries(column: str, source: str) -> Problem:
    return Problem(
        key="data.summary_column",
        what=f"{source} has only the column {column!r}, and no summaries",
        hint="Documents without summaries can be predicted: data.test_file.",
    )


def _undecided(
    names: list[str],
    config: DataConfig,
    source: str,
    sample: Mapping[str, str],
    pairs: list[tuple[str, str]],
) -> Problem:
    unnamed = [key for key in ("text_column", "summary_column") if getattr(config, key) is None]
    reason = "several pairs are possible" if pairs else "no known column names"
    listed = "\n".join(f"      {name}: {sample.get(name, '')}" for name in names)
    settings = " ".join(f"data.{key}=COLUMN" for key in unnamed)
    return Problem(
        key=f"data.{unnamed[0]}" if unnamed else None,
        what=f"cannot detect the columns of {source}: {reason}",
        hint=f"Set {settings} to one of these (shown with a value from the data):\n{listed}",
    )


def _nested(row: Mapping[str, object], columns: Columns, where: str) -> Problem:
    for key, column in (
        ("text_column", columns.document),
        ("summary_column", columns.summary),
        ("id_column", columns.id),
    ):
        value = row.get(column) if column else None
        try:
            to_text(value)
        except TypeError:
            hint = "Choose a column of plain text, or join its items into one text first."
            if key == "summary_column" and isinstance(value, (list, tuple)):
                hint = f"For several references per row, set data.references_column={column}."
            what = f"{where}: column {column!r} holds a {type(value).__name__}, not text"
            return Problem(key=f"data.{key}", what=what, hint=hint)
    raise AssertionError("one of the columns is nested")


def _log_choice(chosen: Columns, config: DataConfig, source: str) -> None:
    if chosen.summary is None and chosen.references is not None:
        logger.info(
            "%s: using column %r for documents, the first item of %r for summaries",
            source,
            chosen.document,
            chosen.references,
        )
    elif config.text_column is None or (config.summary_column is None and chosen.summary):
        summary = f"{chosen.summary!r} for summaries" if chosen.summary else "no summaries"
        logger.info("%s: using column %r for documents, %s", source, chosen.document, summary)
    elif chosen.summary is None:
        logger.info("%s: no references, predicting without scores", source)
    if chosen.summary and chosen.references is None and config.references_column:
        missing = config.references_column
        logger.info("%s: no column %r, scoring with one reference per row", source, missing)
