"""Fast checks of the data before a run: files, extensions, columns, phases.

Only the start of each file is read. Whether a Hub repository exists, and its columns, are checked
when it is loaded, which is before the model.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from summexp.data.columns import Columns, Example, choose_columns, examples
from summexp.data.config import DataConfig
from summexp.data.files import errors_at
from summexp.data.news_briefs import SIZES
from summexp.data.shares import empty_ranges, share_problem, suggestions
from summexp.data.source_files import (
    Inspections,
    MisleadingStartError,
    SourceFile,
    read_rows,
)
from summexp.data.split_sources import BUNDLED, PHASES, Phase, SplitSource, data_of, split_sources
from summexp.errors import ConfigError, Problem, nearest
from summexp.paths import at_home
from summexp.repositories import name_problem

_FILE_KEYS = ("train_file", "validation_file", "validation_files", "test_file")
_SWITCH = {
    "train": ("training.do_train", "training data", "train"),
    "eval": ("training.do_eval", "validation data", "validation"),
    "predict": ("training.do_predict", "test data", "test"),
}


def check_data(
    config: DataConfig,
    *,
    do_train: bool,
    do_eval: bool,
    do_predict: bool,
    debug_tiny: bool = False,
    offline: bool = False,
    files: Inspections | None = None,
) -> list[Problem]:
    """Return the problems of the data that the phases need.

    Args:
        config: the `data` group.
        do_train: whether the run trains.
        do_eval: whether it evaluates.
        do_predict: whether it predicts.
        debug_tiny: whether synthetic rows replace missing data (`debug=tiny`).
        offline: whether the Hub must not be contacted.
        files: takes the inspected files, to be handed on to the run.
    """
    files = Inspections() if files is None else files
    switched_on = {"train": do_train, "eval": do_eval, "predict": do_predict}
    phases: list[Phase] = [phase for phase in ("train", "eval", "predict") if switched_on[phase]]
    config = data_of(config, phases, files)
    problems = list(_check_either_or(config))
    if problems:
        return problems
    if config.name is not None:
        if debug_tiny and not os.path.isdir(at_home(config.name)):
            # Synthetic rows replace it, and support streaming and slices.
            config = replace(config, streaming=False)
        return list(_check_name(config, phases, offline=offline))
    sources = list(split_sources(config, phases))
    # Splits held out of the training rows are checked with them.
    split = next((one for one in sources if one.within is not None), None)
    for source in (one for one in sources if one.within is None or one is split):
        try:
            with errors_at(source.key):
                check_file(source, config, files)
        except ConfigError as error:
            problems += (problem for problem in error.problems if problem not in problems)
    problems += [] if problems else _check_shares(config, sources, files)
    if not debug_tiny or any(getattr(config, key) for key in _FILE_KEYS):
        problems += missing_phases(config, phases, {source.phase for source in sources}, files)
    return problems


def check_file(source: SplitSource, config: DataConfig, files: Inspections) -> SourceFile:
    """Return the inspected file; raise `ConfigError` if the phase cannot use it."""
    file = files.of(source.value, language=config.language)
    if file.format == "txt":
        if source.phase != "predict":
            raise ConfigError.of(
                what=f"{source.value} is plain text, which has no summaries",
                hint=f"Name another file: {source.key}=FILE. Plain text (one document per "
                f"line) is for prediction: data.test_file={source.value}",
            )
        return file
    try:
        columns = _columns(source, file, config)
    except ConfigError:
        if not file.may_have_more_columns:
            raise
        file = files.verified(file)
        columns = _columns(source, file, config)
    for _ in examples(file.rows, columns, source.value):
        pass  # raises for a cell that is not text
    return file


def _columns(source: SplitSource, file: SourceFile, config: DataConfig) -> Columns:
    return choose_columns(
        file.columns,
        config,
        needs_summary=source.phase != "predict",
        source=source.value,
        sample=lambda: file.sample,
        log_choice=False,
    )


def _check_shares(
    config: DataConfig, sources: Sequence[SplitSource], files: Inspections
) -> Iterator[Problem]:
    """Yield a problem for each split of the training file without a row."""
    parts = {one.within: one for one in sources if one.within is not None}
    if not parts:
        return
    source = next(iter(parts.values()))

    def read() -> Iterator[Example]:
        return _train_examples(source, config, files)

    try:
        with errors_at(source.key):
            empty = empty_ranges(read(), parts)
            # If no range has a row, the fractions are not the cause.
            if len(empty) < len(parts) or len(parts) == 1:
                yield from (share_problem(read, one, list(parts), source.value) for one in empty)
    except ConfigError as error:
        yield from error.problems


def _train_examples(
    source: SplitSource, config: DataConfig, files: Inspections
) -> Iterator[Example]:
    """Yield the rows of the training file, read lazily; maybe some of them twice."""
    file = files.of(source.value, language=config.language)
    try:
        yield from _examples(source, file, config)
    except MisleadingStartError:
        yield from _examples(source, files.verified(file), config)


def _examples(source: SplitSource, file: SourceFile, config: DataConfig) -> Iterator[Example]:
    columns = _columns(source, file, config)
    names = [name for name in vars(columns).values() if name is not None]
    return examples(read_rows(file, columns=names), columns, source.value)


def missing_phases(
    config: DataConfig, phases: list[Phase], present: set[Phase], files: Inspections
) -> Iterator[Problem]:
    """Yield a problem for each enabled phase without data."""
    if phases and not present and config.name is None:
        keys = " and ".join(f"data.{_SWITCH[phase][2]}_file=FILE" for phase in phases)
        hint = f"Set {keys}, or data.name=NAME, a Hub repository or a folder."
        if unused := list(_unused(config, phases)):
            yield Problem(
                key=unused[0][0],
                what=f"is the only data, and {unused[0][1]} is false",
                hint=f"Set {unused[0][1]}=true "
                f"and {' '.join(f'{_SWITCH[phase][0]}=false' for phase in phases)}. Or: {hint}",
            )
            return
        yield Problem(key="data.name", what="no data is set", hint=hint)
        return
    for phase in phases:
        if phase not in present:
            yield no_data(config, phase, files=files)


def _unused(config: DataConfig, phases: list[Phase]) -> Iterator[tuple[str, str]]:
    """Yield (key, switch of the phase) of each file whose phase is disabled."""
    for source in split_sources(config, [phase for phase in PHASES if phase not in phases]):
        yield source.key, _SWITCH[source.phase][0]


def no_data(
    config: DataConfig,
    phase: Phase,
    available: list[str] | None = None,
    *,
    files: Inspections | None = None,
) -> Problem:
    """Return the problem of an enabled phase without data.

    Args:
        config: the `data` group.
        phase: the phase.
        available: the splits of `data.name`, if known.
        files: the inspected files.
    """
    switch, data, split = _SWITCH[phase]
    if config.name is None:
        held_out = _held_out(config, phase, Inspections() if files is None else files)
        other = f" {held_out} to hold it out of data.train_file," if held_out else ""
        return Problem(
            key=f"data.{split}_file",
            what=f"{switch} is true, but there is no {data}",
            hint=f"Set data.{split}_file=FILE,{' or' if other else ''}{other} or {switch}=false.",
        )
    key = f"data.{split}_split"
    wanted = getattr(config, f"{split}_split")
    listed = f" Its splits: {', '.join(available)}." if available else ""
    near = nearest(wanted, available or ())
    is_splittable = phase != "train" and config.train_split.partition("[")[0] in (available or ())
    share = (
        f"data.{split}_share=0.1 to hold out a tenth of {config.train_split}"
        if is_splittable
        else "(a slice such as 'train[90%:]' is possible)"
    )
    return Problem(
        key=key,
        what=f"{config.name} has no split {wanted!r}",
        hint=f"{near + ' ' if near else ''}Set {key}{', or' if is_splittable else ''} {share}, "
        f"or {switch}=false.{listed}",
    )


def _held_out(config: DataConfig, phase: Phase, files: Inspections) -> str | None:
    """Return the setting that holds out rows of the training file for `phase`, if possible."""
    if phase == "train" or config.train_file is None:
        return None
    source = next(split_sources(config, ["train"]))
    try:
        check_file(source, config, files)
        split = _SWITCH[phase][2]
        return next(suggestions(lambda: _train_examples(source, config, files), [split]), None)
    except ConfigError:
        return None


def _check_either_or(config: DataConfig) -> Iterator[Problem]:
    files = [key for key in _FILE_KEYS if getattr(config, key)]
    if config.name is None or not files:
        return
    use_files = "for files choose data=custom_csv, custom_json or custom_parquet"
    use_name = f"remove {' and '.join(f'data.{key}' for key in files)}"
    # The bundled corpus is the default of `data.name`, which the user has not chosen.
    fixes = (use_files, use_name) if config.name == BUNDLED else (use_name, use_files)
    hint = ", or ".join(fixes)
    yield Problem(
        key=f"data.{files[0]}",
        what=f"is set together with data.name={config.name}",
        hint=f"{hint[0].upper()}{hint[1:]}.",
    )


def _check_name(config: DataConfig, phases: list[Phase], *, offline: bool) -> Iterator[Problem]:
    name = config.name
    assert name is not None
    if name == BUNDLED:
        yield from _check_bundled(config, phases)
        return
    instead = f"Remove data.name and set data=custom_csv data.train_file={name}"
    if_file = f"{instead} data.validation_file=FILE"
    if problem := name_problem("data.name", name, if_file=if_file):
        yield problem
        return
    splits = saved_splits(Path(at_home(name)))
    for source in split_sources(config, phases):
        if splits and source.value.partition("[")[0] not in splits:
            yield no_data(config, source.phase, splits)
        elif problem := empty_split(config, source):
            yield problem
    if config.streaming:
        sources = split_sources(config, phases)
        found = (stream_problem(config, source, offline=offline) for source in sources)
        yield from dict.fromkeys(filter(None, found))


def stream_problem(config: DataConfig, source: SplitSource, *, offline: bool) -> Problem | None:
    """Return the problem of streaming a split of `data.name`, or None."""
    assert config.name is not None
    folder = Path(at_home(config.name))
    if offline and not folder.is_dir():
        return Problem(
            key="data.streaming",
            what=f"{config.name} cannot be streamed from the Hub with offline=true",
            hint="Set data.streaming=false, or offline=false.",
        )
    if is_saved(folder):
        return Problem(
            key="data.streaming",
            what=f"{config.name} was written by save_to_disk, which is memory-mapped anyway",
            hint="Set data.streaming=false.",
        )
    if "[" in source.value:
        return Problem(
            key=source.key,
            what=f"{source.value!r} is a slice, which data.streaming=true does not support",
            hint="Name the full split and limit it by data.max_*_samples.",
        )
    return None


def _check_bundled(config: DataConfig, phases: list[Phase]) -> Iterator[Problem]:
    """Yield the splits that the bundled corpus does not have."""
    for source in split_sources(config, phases):
        if source.value not in SIZES:
            yield no_data(config, source.phase, list(SIZES))


def saved_splits(folder: Path) -> list[str]:
    """Return the splits of a folder written by `DatasetDict.save_to_disk`, else an empty list."""
    index = folder / "dataset_dict.json"
    # Unlike `Path.is_file`, `os.path.isfile` is False for a name that is too long.
    if not os.path.isfile(index):
        return []
    return list(json.loads(index.read_text("utf-8"))["splits"])


def empty_split(config: DataConfig, source: SplitSource) -> Problem | None:
    """Return the problem of a split that `save_to_disk` wrote without rows, or None."""
    assert config.name is not None
    folder = Path(at_home(config.name))
    split = source.value.partition("[")[0] if saved_splits(folder) else ""
    state = folder / split / "state.json"
    if not os.path.isfile(state) or json.loads(state.read_text("utf-8")).get("_data_files") != []:
        return None
    switch = _SWITCH[source.phase][0]
    return Problem(
        key=source.key,
        what=f"{config.name} [{source.value}] holds no rows",
        hint=f"Set {source.key}=SPLIT to another split, or {switch}=false.",
    )


def is_saved(folder: Path) -> bool:
    """Return whether `save_to_disk` wrote a folder, of one split or several."""
    return bool(saved_splits(folder)) or os.path.isfile(folder / "state.json")
