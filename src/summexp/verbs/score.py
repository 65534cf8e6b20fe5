"""`summexp score`: scores summaries that exist already, from any system."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from rich.console import Console

from summexp.check import metric_problems
from summexp.command_line import asks_for_help, parse
from summexp.config.error_report import report_error
from summexp.errors import EXIT_FAILED, ConfigError, SummexpError, nearest
from summexp.reports.system_scores import print_systems
from summexp.run_folder.atomic_files import to_json
from summexp.scoring.per_row import check_target, write_rows
from summexp.scoring.settings import compose_settings, run_folder_of
from summexp.scoring.systems import ScoredSystems, score_systems
from summexp.streams import print_error, show

HELP = """\
usage: summexp score PREDICTIONS [REFERENCES] [GROUP=CHOICE ...] [KEY=VALUE ...]
       summexp score PREDICTIONS PREDICTIONS ... --references FILE ...

Score summaries that exist already, from any system, as a run scores its own: ROUGE and every other
metric, intervals, baselines, signature. No model is needed, and nothing is downloaded unless a
metric needs it. A file is JSON Lines, JSON, CSV, TSV, Parquet (each by its extension), or has a
text a line; a run folder stands for its predictions. The second file has the references; without
it they are in the first. Scores go to standard output, remarks to standard error.

Rows belong together by their ids (a column `id`, or data.id_column=COLUMN) where both files have
them, else by their order; either way none may be missing.

  --references FILE  where the references are; then every other file is a system. Given again, each
                     row has several references, one of each file
  --documents FILE   the documents, for the lead baseline, compression and novelty
  --column COLUMN    the column of the summaries, if it is not called prediction or the like
  --in-order         pair the rows by their order, whatever their ids
  --per-row FILE     write the scores of every row: .jsonl, .csv or .parquet
  --json             print JSON instead of a table
  --config-dir DIR   a folder of your own choices

Words as for `summexp train` set the rest: metric=all, metric.names=[rouge,bertscore],
data.language=ko, data.summary_column=COLUMN (the references), data.text_column=COLUMN (the
documents). What predictions in a run folder do not set is as in that run.

examples:
  summexp score run/generated_predictions.jsonl
  summexp score run/generated_predictions.jsonl --documents test.jsonl
  summexp score system.txt references.txt data.language=ko
  summexp score bart.jsonl lead.csv --references test.jsonl metric.names=[rouge,novelty]
  summexp score system.txt --references first.txt --references second.txt
  summexp score system.csv test.csv --column summary --per-row rows.csv --json

Exit code 0; 2 if a file or a word is wrong, 1 if the scores could not be written.
"""

_SWITCHES = ("--in-order", "--json")
_VALUES = ("--references", "--documents", "--column", "--per-row", "--config-dir")
_OVERRIDE = re.compile(r"[+~]{0,2}[\w.@-]+[/\w.@-]*\s*[=\uff1d]|~[\w.@/]+$")


@dataclass(frozen=True)
class _Words:
    """The words behind the verb."""

    files: list[str] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    switches: set[str] = field(default_factory=set)
    values: dict[str, list[str]] = field(default_factory=dict)

    def value(self, flag: str) -> str | None:
        """Return the value of a flag, the last if it is given again."""
        return self.values[flag][-1] if flag in self.values else None


def run_verb(words: list[str]) -> int:
    """Run `summexp score` with the words behind it, and return the exit code."""
    if asks_for_help(words):
        return show(HELP.rstrip())
    try:
        return _score(_read(words))
    except SummexpError as error:
        report_error(error)
        return error.exit_code


def _score(given: _Words) -> int:
    files, references = _roles(given)
    documents, per_row = given.value("--documents"), given.value("--per-row")
    target = None if per_row is None else Path(per_row)
    if target is not None:
        check_target(target, [*files, *references, *([documents] if documents else [])])
    command = parse(given.overrides)
    if command.problems:
        raise ConfigError(command.problems)
    folder = run_folder_of(files)
    config, from_folder = compose_settings(
        command.overrides, config_dir=given.value("--config-dir"), folder=folder
    )
    if lacking := list(metric_problems(config)):
        raise ConfigError(lacking)
    if from_folder is not None and from_folder.changed:
        print_error(str(from_folder))
    scored = score_systems(
        files,
        config,
        references=references,
        documents=documents,
        column=given.value("--column"),
        in_order="--in-order" in given.switches,
        by_position=bool(references) and "--references" not in given.values,
    )
    for remark in scored.remarks:
        print_error(remark)
    if target is not None:
        try:
            write_rows(target, scored)
        except OSError as error:
            print_error(f"cannot write {target}: {error.strerror}")
            return EXIT_FAILED
    if "--json" in given.switches:
        return show(to_json(scored.to_json(), indent=2))
    return show(_table(scored, config.metric.confidence))


def _table(scored: ScoredSystems, confidence: float) -> str:
    """Return the table as text, with colours for a terminal only."""
    is_terminal = sys.stdout.isatty()
    width = shutil.get_terminal_size().columns if is_terminal else 80
    console = Console(file=StringIO(), width=width, force_terminal=is_terminal)
    print_systems(
        {system.name: system.scores for system in scored.systems},
        scored.counts,
        confidence=confidence,
        signature=scored.signature,
        console=console,
    )
    assert isinstance(console.file, StringIO)
    return "\n".join(line.rstrip() for line in console.file.getvalue().splitlines())


def _roles(given: _Words) -> tuple[list[str], list[str]]:
    """Return the files of summaries, and those of references.

    Raises:
        ConfigError: there is no file, one is named twice, or it does not show which has the
            references.
    """
    files, references = given.files, given.values.get("--references", [])
    if not files:
        hint = "Write summexp score PREDICTIONS [REFERENCES]; see summexp score --help."
        raise ConfigError.of(what="there is no file to score", hint=hint)
    if not references and len(files) > 2:
        raise ConfigError.of(
            what=f"{len(files)} files, and none is named as that of the references",
            hint=f"Write --references before it: summexp score {' '.join(files[:-1])} "
            f"--references {files[-1]}",
        )
    if not references:
        files, references = files[:1], files[1:]
    for listed in (files, references):
        for name in listed:
            if listed.count(name) > 1:
                raise ConfigError(f"{name} is named twice")
    return files, references


def _read(words: Sequence[str]) -> _Words:
    """Return the words by what they are.

    Raises:
        ConfigError: an unknown flag, or one without its value.
    """
    given = _Words()
    rest = list(words)
    while rest:
        word = rest.pop(0)
        flag, equals, value = word.partition("=")
        if not word.startswith("-") or word == "-":
            is_override = _OVERRIDE.match(word) and not Path(word).exists()
            (given.overrides if is_override else given.files).append(word)
        elif word in _SWITCHES:
            given.switches.add(word)
        elif flag in _VALUES:
            if not equals and not rest:
                raise ConfigError(f"{flag} needs a value behind it")
            given.values.setdefault(flag, []).append(value if equals else rest.pop(0))
        elif flag in _SWITCHES:
            raise ConfigError(f"{flag} takes no value")
        else:
            known = f"See summexp score --help for {', '.join((*_VALUES, *_SWITCHES))}."
            near = nearest(flag, (*_VALUES, *_SWITCHES))
            hint = f"{near} {known}" if near else known
            raise ConfigError.of(what=f"summexp score has no flag {flag}", hint=hint)
    return given
