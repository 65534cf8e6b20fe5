"""Report of a run: one self-contained page, in HTML and in Markdown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from summexp.data.health import CorpusHealth, SplitHealth
from summexp.reports.curves import charts
from summexp.reports.examples import example_groups
from summexp.reports.facts import command, facts, language_code, title
from summexp.reports.local_paths import config_without_folders, without_folders
from summexp.reports.rendering import render
from summexp.reports.run_results import read_run
from summexp.reports.scores import score_tables
from summexp.run_folder.atomic_files import write_text

NAMES = ("report.md", "report.html")
"""The files of a report."""


class HealthRow(NamedTuple):
    """The counts of one split, as shown."""

    split: str
    cells: tuple[str, ...]


HEALTH_COLUMNS = (
    "rows used",
    "dropped",
    "without a document",
    "without a summary",
    "repeated rows",
    "documents cut",
    "summaries cut",
    "unknown tokens in documents",
    "unknown tokens in summaries",
)
"""Heads of the cells of a `HealthRow`."""


def write_report(folder: Path) -> list[Path]:
    """Write `report.md` and `report.html` into a run folder and return their paths.

    The same folder gives the same bytes.

    Raises:
        ConfigError: `folder` holds no run, or a corrupt one.
    """
    paths = []
    for name, text in report_texts(folder).items():
        write_text(folder / name, text)
        paths.append(folder / name)
    return paths


def report_texts(folder: Path, *, with_folders: bool = True) -> dict[str, str]:
    """Return the report of a run folder, file name to content.

    Args:
        folder: the run folder.
        with_folders: keep the folders of absolute paths; without, each is its last part.

    Raises:
        ConfigError: `folder` holds no run, or a corrupt one.
    """
    results = read_run(folder)
    if not with_folders:
        results = replace(
            results,
            config_text=config_without_folders(results.config),
            reason=results.reason and without_folders(results.reason),
        )
    values = {
        "run": results,
        "title": title(results),
        "lang": language_code(results),
        "facts": facts(results),
        "tables": score_tables(results),
        "charts": charts(results),
        "examples": example_groups(results.examples),
        "predictions": example_groups(results.predictions.examples if results.predictions else ()),
        "health_columns": HEALTH_COLUMNS,
        "health": list(health_rows(results.health)),
        "overlaps": list(overlap_lines(results.health)),
        "command": command(results, with_folders=with_folders),
    }
    return {name: render(f"{name}.j2", **values) for name in NAMES}


def health_rows(health: CorpusHealth) -> Iterator[HealthRow]:
    """Yield the counts of each split; what is not known is a dash."""
    for name, split in health.splits.items():
        yield HealthRow(name, tuple(_cells(split)))


def overlap_lines(health: CorpusHealth) -> Iterator[str]:
    """Yield a sentence for each pair of splits that share documents."""
    for overlap in health.overlaps:
        if overlap.rows:
            share = _share(overlap.rows, health.splits[overlap.split].used)
            yield f"Documents of {overlap.split} that are also in {overlap.also_in}: {share}"


def _cells(split: SplitHealth) -> Iterator[str]:
    if split.streamed:
        yield from ["-"] * len(HEALTH_COLUMNS)
        return
    yield f"{split.used:,}"
    for count in (split.dropped, split.empty_document, split.empty_summary, split.duplicate_rows):
        yield f"{count:,}"
    if split.chunked_documents:
        yield f"{_share(split.chunked_documents, split.used)} in chunks"
    else:
        yield _cut(split.truncated_documents, split.used)
    yield _cut(split.truncated_summaries, split.used)
    yield _cut(split.unknown_document_tokens, split.document_tokens or 0)
    yield _cut(split.unknown_summary_tokens, split.summary_tokens or 0)


def _cut(count: int | None, total: int) -> str:
    return "-" if count is None else _share(count, total)


def _share(count: int, total: int) -> str:
    return f"{count:,} ({100 * count / max(1, total):.1f} %)" if count else "0"
