"""Terminal summary at the end of a run: scores, examples and written files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from summexp.reports.examples import example_groups
from summexp.reports.run_results import Example, read_run
from summexp.reports.scores import ScoreTable, score_tables
from summexp.reports.texts import excerpt, one_line
from summexp.run_folder.layout import CONFIG_FILE, RUN_FILE

_EXAMPLES = 3
_DOCUMENT_CHARACTERS = 400
_SUMMARY_CHARACTERS = 240
_WORD_CELLS = 13
_MADE = {
    "report": "report.html",
    "model": "config.json",
    "model card": "README.md",
    "scores": "all_results.json",
    "config": CONFIG_FILE,
    "record": RUN_FILE,
}
"""A word for each file of a run folder that a user may look for, in the order of interest."""


def print_summary(folder: Path, *, predicted: bool = False, console: Console | None = None) -> None:
    """Print the summary of a run.

    Colours are used on a terminal only, and paths are never broken into lines.

    Args:
        folder: the run folder.
        predicted: show examples of the predictions, and not of the validation set.
        console: where to print; standard output where not given.

    Raises:
        ConfigError: `folder` holds no run, or a corrupt one.
    """
    console = console or Console()
    results = read_run(folder)
    for table in score_tables(results):
        console.print()
        console.print(score_grid(table, table.title))
    predictions, examples = results.predictions, results.examples
    if predictions is not None and (predicted or not examples):
        examples = predictions.examples
        console.print()
        console.print(Text.assemble(("Predictions", "bold"), "  ", predictions.note))
    for title, example in _examples(examples):
        console.print()
        if title:
            console.print(title)
        console.print(Padding(_example(example), (0, 0, 0, 1), expand=False))
    _print_files(folder, predictions.file if predictions else None, console)


def _print_files(folder: Path, predictions: str | None, console: Console) -> None:
    """Print where everything was written; a path is never broken, so that it can be copied."""
    made = ({"predictions": predictions} if predictions else {}) | _MADE
    files = {word: path for word, name in made.items() if (path := folder / name).exists()}
    if not files:
        return
    console.print()
    console.print(Text("Written", style="bold"))
    # The model is all of the folder, in which config.json only stands for it.
    shown = {word: folder if word == "model" else path for word, path in files.items()}
    names = {word: _shown(path) for word, path in shown.items()}
    longest = _WORD_CELLS + max(map(cell_len, names.values()))
    if console.is_terminal and longest > console.width:
        # The folder has one line for itself, in place of a part of each.
        console.print(Text(f" {_shown(folder)}"), soft_wrap=True)
        names = {word: os.path.relpath(path, folder) for word, path in shown.items()}
    for word, name in names.items():
        console.print(Text.assemble(" ", (f"{word:<12}", "dim"), name), soft_wrap=True)


def score_grid(table: ScoreTable, title: str) -> RenderableType:
    """Return the scores of a set, under its title and what is known beside them."""
    head = Text.assemble((title, "bold"), f"  {table.note}" if table.note else "")
    if not table.rows:
        return head
    colour = "" if table.standing == "above" else "yellow"
    verdict = [Text(f" {table.verdict}", style=colour)] if table.verdict else []
    grid = Table(box=None, padding=(0, 3, 0, 1), header_style="dim")
    grid.add_column("score")
    grid.add_column("value", justify="right", style="bold")
    if table.interval_name:
        grid.add_column(table.interval_name, justify="right")
    if table.baseline_name:
        grid.add_column(table.baseline_name, justify="right")
    for row in table.rows:
        cells = [row.label, row.shown]
        if table.interval_name:
            cells.append(row.interval)
        if table.baseline_name:
            cells.append(row.baseline)
        grid.add_row(*cells)
    return Group(head, grid, *verdict)


def _examples(examples: Sequence[Example]) -> Iterator[tuple[Text | None, Example]]:
    """Yield the examples to print, each with the title before it."""
    groups = example_groups(examples)
    # Of the best and of the worst one each; the report has more.
    count = 1 if len(groups) > 1 else _EXAMPLES
    for group in groups:
        for number, example in enumerate(group.examples[:count]):
            score = example.scores.get(example.ranked_by or "")
            shown = "" if score is None else f"  {score:.2f}"
            title = Text.assemble((group.title, "bold"), shown)
            yield (None if number else title), example


def _example(example: Example) -> RenderableType:
    grid = Table.grid(padding=(0, 1))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    if example.document is not None:
        # Rich measures terminal cells, of which a Han or Hangul character takes two.
        document = Text(one_line(example.document)[:_DOCUMENT_CHARACTERS], style="dim")
        document.no_wrap, document.overflow = True, "ellipsis"
        grid.add_row("document", document)
    if example.reference is not None:
        grid.add_row("reference", Text(excerpt(example.reference, _SUMMARY_CHARACTERS)))
    prediction = excerpt(example.prediction, _SUMMARY_CHARACTERS) or "(nothing)"
    grid.add_row("prediction", Text(prediction, style="bold"))
    return grid


def _shown(path: Path) -> str:
    """Return the path from here, or in full where it lies elsewhere."""
    path, here = path.absolute(), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else os.fspath(path)
