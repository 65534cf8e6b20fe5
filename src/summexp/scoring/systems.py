"""Scores of several systems, of the same rows and against the same references.

Tested in tests/verbs/test_score.py.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import takewhile
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from summexp.config.schema import Config
from summexp.data.columns import EMPTY_DOCUMENT, is_blank
from summexp.errors import ConfigError
from summexp.metrics.registry import chosen_metrics
from summexp.metrics.score import Score, flat
from summexp.metrics.scorer import SummaryScorer
from summexp.runs.score_checks import check_scores
from summexp.scoring.text_files import (
    TextFile,
    documents_of,
    has_both,
    prediction_column,
    read_file,
    references_of,
    rows_of,
    skipped_rows,
)

if TYPE_CHECKING:
    import torch

SET = "predict"
"""The set that predictions are of, as in the record of a run."""


@dataclass(frozen=True, kw_only=True)
class System:
    """The summaries of one system, and their scores."""

    name: str
    """What tells its file from those of the others."""
    file: str
    """Its file, as the user wrote it."""
    column: str
    """The column of its summaries."""
    predictions: Sequence[str]
    """The summary of every row."""
    scores: Sequence[Score]
    """Its scores over all scored rows."""
    row_scores: Mapping[str, Sequence[float]]
    """Score name to one value for each scored row."""


@dataclass(frozen=True, kw_only=True)
class ScoredSystems:
    """Some systems, scored side by side."""

    systems: Sequence[System]
    """In the order of the command."""
    ids: Sequence[str]
    """The ID of every row, or its number from 0."""
    references: Sequence[Sequence[str]]
    """The references of every row; may be empty."""
    scored: Sequence[int]
    """Numbers of the scored rows: those with a reference that are not skipped."""
    skipped: Mapping[int, str]
    """Row number to the reason why it is not scored."""
    signature: str
    """What the numbers depend on."""
    remarks: Sequence[str]
    """What was recognised, chosen and left out, for the user."""

    @property
    def counts(self) -> dict[str, int]:
        """The counts of rows, as the record of a run has them."""
        counts = {"samples": len(self.ids)}
        if self.skipped:
            counts["skipped"] = len(self.skipped)
        if len(self.scored) < len(self.ids):
            counts["scored"] = len(self.scored)
        return counts

    def to_json(self) -> dict[str, Any]:
        """Return the scores as plain JSON, in the form of `run.json` and `all_results.json`."""
        return {
            "signature": self.signature,
            "rows": self.counts,
            "systems": [
                {
                    "name": system.name,
                    "file": system.file,
                    "column": system.column,
                    "scores": list(map(asdict, system.scores)),
                    "metrics": flat(system.scores),
                }
                for system in self.systems
            ],
        }


def score_systems(
    files: Sequence[str],
    config: Config,
    *,
    references: Sequence[str] = (),
    documents: str | None = None,
    column: str | None = None,
    in_order: bool = False,
    by_position: bool = False,
) -> ScoredSystems:
    """Score the summaries of some files against the same references.

    A row without a reference is not scored, nor is one that a run skipped or that has no document;
    a summary that is missing for another reason counts as an empty one.

    Args:
        files: a file of summaries for each system.
        config: has the metrics, the language and the names of columns.
        references: files of references, of which a row may have one in each; by default those in
            the only file of summaries.
        documents: a file of documents, for baselines and scores that need them.
        column: the column of the summaries.
        in_order: whether rows belong together by their order, whatever their IDs.
        by_position: whether the references are the second of two files that were named alike.

    Raises:
        ConfigError: a file cannot be read or lacks a column, rows do not belong together, nothing
            can be scored, or a metric cannot be computed.
    """
    # The input of a run is as long as it was for the run.
    inputs = {*references, *([] if documents is None else [documents])} - {*files}
    most = config.data.max_predict_samples
    read = {
        path: read_file(path, config.data, most=most if path in inputs else None)
        for path in dict.fromkeys((*files, *references, *sorted(inputs)))
    }
    if by_position:
        _check_is_meant(read[files[0]], read[references[0]])
    base = read[references[0] if references else files[0]]
    columns = [
        prediction_column(read[path], column, has_references=not references) for path in files
    ]
    orders = [rows_of(read[path], base, in_order=in_order) for path in files]
    known = _references(base, [read[path] for path in references], columns, config, in_order)
    skipped: dict[int, str] = {}
    made = []
    for path, name, order in zip(files, columns, orders, strict=True):
        texts = read[path].cells(name)
        reasons = skipped_rows(read[path], texts)
        skipped |= {row: reasons[place] for row, place in enumerate(order) if place in reasons}
        made.append([texts[place] for place in order])
    texts_of_documents = None
    if documents is not None:
        order = rows_of(read[documents], base, in_order=in_order, may_have_more=True)
        every = documents_of(read[documents], config.data)
        texts_of_documents = [every[place] for place in order]
        blank = (row for row, text in enumerate(texts_of_documents) if is_blank(text))
        skipped |= {row: EMPTY_DOCUMENT for row in blank if row not in skipped}
    scored = [row for row, several in enumerate(known) if several and row not in skipped]
    if not scored:
        what = f"nothing to score: no row of {base.path} has a reference"
        raise ConfigError(f"{what} and is not skipped" if skipped else what)
    scorer = _scorer(config, [known[row] for row in scored])
    check_scores(config, [SET], scorer.metrics)
    systems = _systems(files, columns, made, scored, known, texts_of_documents, scorer)
    remarks = [remark for file in read.values() for remark in file.remarks]
    remarks.append(scorer.remark)
    if documents is None:
        remarks += _without_documents(scorer)
    if not systems[0].scores:
        raise ConfigError(f"nothing to score: {remarks[-1]}")
    return ScoredSystems(
        systems=systems,
        ids=base.ids or [str(number) for number in range(len(base.rows))],
        references=known,
        scored=scored,
        skipped=dict(sorted(skipped.items())),
        signature=scorer.signature,
        remarks=remarks,
    )


def _check_is_meant(first: TextFile, second: TextFile) -> None:
    """Check that the second of two files holds references, and not another system's summaries.

    Raises:
        ConfigError: both hold both.
    """
    if all(has_both(file) for file in (first, second)):
        one, other = (shlex.quote(file.path) for file in (first, second))
        raise ConfigError.of(
            what=f"{first.path} and {second.path} both hold predictions and references: is the "
            "second another system, or the references of the first?",
            hint=f"Two systems:   summexp score {one} {other} --references {one}\n"
            f"    References:    summexp score {one} --references {other}",
        )


def _references(
    base: TextFile,
    files: Sequence[TextFile],
    columns: Sequence[str],
    config: Config,
    in_order: bool,
) -> list[tuple[str, ...]]:
    """Return the references of each row, from all files that have some."""
    if not files:
        return references_of(base, config.data, but=columns)
    found: list[tuple[str, ...]] = [()] * len(base.rows)
    for file in files:
        theirs = references_of(file, config.data)
        order = rows_of(file, base, in_order=in_order)
        for row, place in enumerate(order):
            # Duplicates are dropped: they do not change the best score.
            different: dict[str, str] = {}
            for text in (*found[row], *theirs[place]):
                different.setdefault(text.strip(), text)
            found[row] = tuple(different.values())
    return found


def _scorer(config: Config, references: Sequence[Sequence[str]]) -> SummaryScorer:
    scorer = SummaryScorer(
        config.metric,
        language=config.data.language,
        references=references,
        device=_device(config),
        tiny=config.debug.tiny,
        seed=config.seed,
    )
    scorer.load()
    return scorer


def _device(config: Config) -> torch.device | str:
    if not any(metric.runs_a_model for metric in chosen_metrics(config.metric.names)):
        return "cpu"
    # Imports torch, which only such a metric needs.
    from summexp.distributed.devices import select_device

    return select_device("cpu" if config.hardware.backend == "xla" else config.hardware.backend)


def _systems(
    files: Sequence[str],
    columns: Sequence[str],
    made: Sequence[Sequence[str]],
    scored: Sequence[int],
    references: Sequence[Sequence[str]],
    documents: Sequence[str] | None,
    scorer: SummaryScorer,
) -> list[System]:
    chosen = [references[row] for row in scored]
    texts = None if documents is None else [documents[row] for row in scored]
    baseline = None if texts is None else scorer.lead_baseline(texts, chosen)
    systems = []
    for name, path, column, predictions in zip(names_of(files), files, columns, made, strict=True):
        found = scorer.score([predictions[row] for row in scored], chosen, texts)
        systems.append(
            System(
                name=name,
                file=path,
                column=column,
                predictions=predictions,
                scores=scorer.records(SET, found, baseline),
                row_scores=found.rows,
            )
        )
    return systems


def _without_documents(scorer: SummaryScorer) -> list[str]:
    """Return the remark that some metrics were left out, where that is so."""
    names = [metric.name for metric in scorer.metrics if metric.needs_documents]
    if not names:
        return []
    return [f"without documents there is no {' and no '.join(names)}; add --documents FILE"]


def names_of(files: Sequence[str]) -> list[str]:
    """Return what tells the files apart: their paths without the folders and the ends they share.

    >>> names_of(["runs/a/generated_predictions.jsonl", "runs/b/generated_predictions.jsonl"])
    ['a', 'b']
    >>> names_of(["out/bart.txt", "out/lead.csv"])
    ['bart.txt', 'lead.csv']
    """
    parts = [PurePath(os.path.normpath(file)).parts for file in files]
    shared = _shared(parts)
    ends = _shared([part[shared:][::-1] for part in parts])
    names = [part[shared : len(part) - ends] for part in parts]
    return [str(PurePath(*name)) for name in names] if all(names) else list(files)


def _shared(paths: Sequence[Sequence[str]]) -> int:
    """Return how many parts at their start some paths share."""
    columns = zip(*paths, strict=False)
    return sum(1 for _ in takewhile(lambda column: len({*column}) == 1, columns))
