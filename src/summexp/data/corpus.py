"""Corpus of a run: loads the splits that its phases need, with counts and fingerprints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa

from summexp.data.cache import cache_key, with_cache
from summexp.data.columns import Columns, Example, choose_columns, examples, is_blank, to_text
from summexp.data.config import DataConfig
from summexp.data.corpus_cache import (
    SCHEMA,
    SCHEMA_OF_SEVERAL,
    Split,
    split_in_memory,
    stored_split,
)
from summexp.data.data_checks import check_file, missing_phases, no_data
from summexp.data.files import (
    TEXT_COLUMN,
    digest,
    errors_at,
    existing,
    folder_digest,
    format_of,
    one_line,
    parquet_table,
    read_rows,
)
from summexp.data.health import CorpusHealth, SplitHealth, count_overlaps
from summexp.data.input_rows import InputRows, column_texts
from summexp.data.shares import empty_ranges, share_problem
from summexp.data.sources import named_splits, streamed_split
from summexp.data.split_sources import (
    BUNDLED,
    ONLY_VALIDATION,
    PHASES,
    Phase,
    SplitSource,
    named_folder,
    split_sources,
)
from summexp.errors import ConfigError, Problem, RunError
from summexp.upstream.datasets import fingerprint

Rows = Iterable[Mapping[str, object]]
"""Rows as column name to value."""

logger = logging.getLogger(__name__)

_SAMPLE_ROWS = 20
_READ_ROWS = 1000
_STREAMED = ("id", "document", "summary")
_FEATURES = datasets.Features({name: datasets.Value("string") for name in _STREAMED})


@dataclass(frozen=True, kw_only=True)
class Corpus:
    """The splits of a run, with the text columns `id`, `document` and `summary`.

    A split with several references per row also has `references`, a list of texts with `summary`
    first, empty if there is only the summary. A stream has no references.

    Rows keep the order of the input. In `train` and in the validation sets, rows without a document
    or a summary are dropped and counted: a model learns nothing from them, and every score against
    an empty reference is 0. In `test` such rows are kept. Rows without a document are neither
    predicted nor scored, and rows without a summary (None) are predicted.
    """

    train: datasets.Dataset | datasets.IterableDataset | None = None
    """Training rows; an `IterableDataset` with `data.streaming`."""
    validation: dict[str, datasets.Dataset] = field(default_factory=dict)
    """Validation sets by name; a single set is named `validation`."""
    test: datasets.Dataset | None = None
    """Rows to predict: all rows of the input, in order."""
    test_input: Callable[[], InputRows] | None = None
    """Reads the rows to predict again, with all columns of their source."""
    columns: dict[str, Columns] = field(default_factory=dict)
    """Split name to its selected columns."""
    health: CorpusHealth = field(default_factory=CorpusHealth)
    """Counts by split name: `train`, `validation` (or `validation_<name>`), `test`."""
    fingerprints: dict[str, str] = field(default_factory=dict)
    """Split name to the digest of its rows, 32 hexadecimal digits; none for a stream."""
    files: dict[str, str] = field(default_factory=dict)
    """Config key to the digest of the file or folder that was read for it."""


def load_corpus(
    config: DataConfig,
    *,
    phases: Collection[Phase],
    offline: bool,
    cache_dir: Path | None,
    in_memory: bool = False,
    hub_cache_dir: Path | None = None,
    rows: Mapping[str, Rows] | None = None,
) -> Corpus:
    """Load the splits that the phases need.

    Args:
        config: the `data` group.
        phases: the phases of the run.
        offline: whether the Hub must not be contacted.
        cache_dir: cache folder of the splits; None to hold them in memory.
        in_memory: whether to hold the splits in memory without using `cache_dir`.
        hub_cache_dir: download cache of `datasets`; None for its default.
        rows: rows to use in place of the configured data, by name: `train`, `test`, and the name of
            each validation set (`validation` for a single one).

    Raises:
        ConfigError: a split is missing, cannot be read, lacks columns, or has no usable row.
    """
    wanted = [phase for phase in PHASES if phase in phases]
    # Digests are taken before reading, so that a folder replaced meanwhile is detected later.
    folder = named_folder(config.name) if rows is None else None
    files = {"data.name": folder_digest(folder)} if folder is not None else {}
    if rows is not None:
        sources = [_from_rows(about, rows, config) for about in _given(wanted, rows, config)]
    else:
        about = list(split_sources(config, wanted))
        if missing := list(missing_phases(config, wanted, {one.phase for one in about})):
            raise ConfigError(missing)
        sources = _open(about, config, offline=offline, hub_cache_dir=hub_cache_dir)
    streamed = [one for one in sources if config.streaming and one.about.phase == "train"]
    splits = {
        source.about: _split(source, cache_dir, in_memory=in_memory)
        for source in sources
        if source not in streamed
    }
    without_rows = {about for about, split in splits.items() if not split.rows}
    if without_rows:
        unusable = [one for one in sources if one.about in without_rows]
        raise ConfigError(_unusable(one, splits[one.about], sources) for one in unusable)
    _log_shares(config, splits)
    train = [source.stream() for source in streamed] + [
        split.rows for about, split in splits.items() if about.phase == "train"
    ]
    test = [split.rows for about, split in splits.items() if about.phase == "predict"]
    predicted = [source for source in sources if source.about.phase == "predict"]
    return Corpus(
        train=train[0] if train else None,
        validation={
            about.set_name: split.rows for about, split in splits.items() if about.phase == "eval"
        },
        test=test[0] if test else None,
        test_input=partial(_test_input, predicted[0], test[0]) if test else None,
        columns={source.about.name: source.columns for source in sources},
        health=_health([source.about.name for source in streamed], splits),
        fingerprints={about.name: split.fingerprint for about, split in splits.items()},
        files=files | {one.about.key: one.file.digest for one in sources if one.file},
    )


@dataclass(frozen=True, kw_only=True)
class _File:
    """A file at the time of its digest."""

    path: Path
    digest: str
    state: tuple[int, ...]
    """Inode, size and modification time, which change when the file is written or replaced."""

    @classmethod
    def of(cls, path: str) -> _File:
        found = existing(path)
        state = _state(found)
        return cls(path=found, digest=digest(path), state=state)

    def check(self) -> None:
        """Check that the file has not changed since its digest was taken.

        Raises:
            ConfigError: it has changed.
        """
        if not self.path.is_file() or _state(self.path) != self.state:
            raise ConfigError(
                Problem(
                    what=f"{self.path} changed while it was being read",
                    hint="Run the same command again when the file is complete.",
                )
            )


def _state(path: Path) -> tuple[int, ...]:
    found = path.stat()
    return found.st_ino, found.st_size, found.st_mtime_ns


@dataclass(frozen=True, kw_only=True, eq=False)
class _Source:
    """A split before it is read."""

    about: SplitSource
    label: str
    """Name in messages."""
    columns: Columns
    rows: Callable[[], Rows]
    every_column: Callable[[], pa.Table | Rows]
    """Returns the rows with all columns of the source."""
    content: tuple[object, ...] | None = None
    """Values that the rows depend on, for the cache key; None if unknown before reading."""
    file: _File | None = None
    """File of the rows, if it is one."""

    def check(self) -> None:
        """Check that the file has not changed while it was read."""
        if self.file is not None:
            with errors_at(self.about.key):
                self.file.check()

    def all_examples(self) -> Iterator[Example]:
        """Yield every row of the source, including those held out for other splits."""
        return examples(self.rows(), self.columns, self.label)

    def examples(self) -> Iterator[Example]:
        within = self.about.within
        every = self.all_examples()
        return every if within is None else (one for one in every if within.holds(one.document))

    def input_rows(self) -> InputRows:
        """Return the rows of the split with all columns of the source."""
        found, within, name = self.every_column(), self.about.within, self.columns.document
        if isinstance(found, pa.Table):
            texts = enumerate(column_texts(found, name))
            chosen = (n for n, text in texts if within is None or within.holds(text))
            return found.take(pa.array(islice(chosen, self.about.limit), pa.int64()))
        rows = (row for row in found if within is None or within.holds(to_text(row.get(name))))
        return [dict(row) for row in islice(rows, self.about.limit)]

    def stream(self) -> datasets.IterableDataset:
        """Return the usable rows as a stream."""
        stream = datasets.IterableDataset.from_generator(
            _usable_rows, gen_kwargs={"source": self}, features=_FEATURES
        )
        return stream if self.about.limit is None else stream.take(self.about.limit)


def _usable_rows(source: _Source) -> Iterator[dict[str, str | None]]:
    for example in source.examples():
        if not is_blank(example.document) and example.summary is not None:
            yield {name: getattr(example, name) for name in _STREAMED}


def _test_input(source: _Source, rows: datasets.Dataset) -> InputRows:
    """Return all columns of the rows to predict.

    Raises:
        RunError: the source has changed since it was read before.
    """
    found = source.input_rows()
    if column_texts(found, source.columns.document) != rows["document"][:]:
        raise RunError(f"{source.about.key}: {source.about.value} changed while it was being read")
    return found


def _open(
    about: list[SplitSource], config: DataConfig, *, offline: bool, hub_cache_dir: Path | None
) -> list[_Source]:
    if config.name is None:
        return _open_all([partial(_from_file, one, config, _is_first(one, about)) for one in about])
    if config.name == BUNDLED:
        return [_bundled(one, config) for one in about]
    loaded: Sequence[datasets.Dataset | datasets.IterableDataset]
    if config.streaming:
        loaded = [streamed_split(config, one, offline=offline) for one in about]
    else:
        loaded = named_splits(config, about, offline=offline, cache_dir=hub_cache_dir)
    pairs = zip(about, loaded, strict=True)
    return _open_all(
        [partial(_from_dataset, one, split, config, _is_first(one, about)) for one, split in pairs]
    )


def _is_first(one: SplitSource, about: Sequence[SplitSource]) -> bool:
    """Return whether it is the first source of its value, whose columns are logged."""
    return next(other for other in about if other.value == one.value) is one


def _open_all(openers: Iterable[Callable[[], _Source]]) -> list[_Source]:
    """Open every source, and raise the problems of all of them together."""
    sources: list[_Source] = []
    problems: list[Problem] = []
    for opener in openers:
        try:
            sources.append(opener())
        except ConfigError as error:
            problems += (problem for problem in error.problems if problem not in problems)
    if problems:
        raise ConfigError(problems)
    return sources


def _from_file(about: SplitSource, config: DataConfig, is_first: bool) -> _Source:
    path, language = about.value, config.language
    with errors_at(about.key):
        file = _File.of(path)
        head = check_file(about, config)
    if head.format == "txt":
        columns = Columns(document=TEXT_COLUMN, summary=None, id=None)
    else:
        columns = _choose(
            about, path, head.columns, config, lambda: head.sample, log_choice=is_first
        )
    return _Source(
        about=about,
        label=path,
        columns=columns,
        rows=partial(_file_rows, about.key, path, columns, language),
        every_column=partial(_file_input, about.key, path, language),
        content=("file", file.digest, head.format, language),
        file=file,
    )


def _file_rows(key: str, path: str, columns: Columns, language: str | None) -> Rows:
    names = [name for name in vars(columns).values() if name is not None]
    with errors_at(key):
        yield from read_rows(path, columns=names, language=language)


def _file_input(key: str, path: str, language: str | None) -> pa.Table | Rows:
    with errors_at(key):
        if format_of(path) == "parquet":
            return parquet_table(path)
        return list(read_rows(path, language=language))


def _from_dataset(
    about: SplitSource,
    split: datasets.Dataset | datasets.IterableDataset,
    config: DataConfig,
    is_first: bool,
) -> _Source:
    label = f"{config.name} [{about.value}]"
    head = list(split.take(_SAMPLE_ROWS))
    if not head:
        raise ConfigError(Problem(key=about.key, what=f"{label} holds no rows"))
    columns = _choose(
        about, label, list(head[0]), config, lambda: _sample(head), log_choice=is_first
    )
    names = [name for name in vars(columns).values() if name is not None]
    is_stream = isinstance(split, datasets.IterableDataset)
    return _Source(
        about=about,
        label=label,
        columns=columns,
        rows=partial(_dataset_rows, split.select_columns(names)),
        every_column=lambda: split if is_stream else split.with_format("arrow")[:],
        content=None if is_stream else ("dataset", fingerprint(split)),
    )


def _dataset_rows(split: datasets.Dataset | datasets.IterableDataset) -> Rows:
    for batch in split.iter(_READ_ROWS):
        for cells in zip(*batch.values(), strict=True):
            yield dict(zip(batch, cells, strict=True))


def _bundled(about: SplitSource, config: DataConfig) -> _Source:
    from summexp.data.news_briefs import SIZES, bundled_rows

    if about.value not in SIZES:
        raise ConfigError(no_data(config, about.phase, list(SIZES)))
    return _Source(
        about=about,
        label=f"{BUNDLED} [{about.value}]",
        columns=Columns(document="document", summary="summary", id="id"),
        rows=partial(bundled_rows, about.value),
        every_column=partial(bundled_rows, about.value),
    )


def _given(phases: list[Phase], names: Collection[str], config: DataConfig) -> list[SplitSource]:
    """Return the sources of the given rows, as if they were files of the config."""
    validation = [name for name in names if name not in ("train", "test")]
    several = validation != [ONLY_VALIDATION]
    synthetic = replace(
        config,
        name=None,
        train_file="train" if "train" in names else None,
        validation_file=None if several else ONLY_VALIDATION,
        validation_files={name: name for name in validation} if several else {},
        validation_share=None,
        test_file="test" if "test" in names else None,
        test_share=None,
    )
    sources = list(split_sources(synthetic, phases))
    if missing := list(missing_phases(synthetic, phases, {one.phase for one in sources})):
        raise ConfigError(missing)
    return sources


def _from_rows(about: SplitSource, rows: Mapping[str, Rows], config: DataConfig) -> _Source:
    listed = list(rows[about.set_name])
    names = list(dict.fromkeys(name for row in listed for name in row))
    columns = _choose(about, about.name, names, config, lambda: _sample(listed))
    return _Source(
        about=about,
        label=about.name,
        columns=columns,
        rows=lambda: listed,
        every_column=lambda: listed,
    )


def _choose(
    about: SplitSource,
    label: str,
    names: Sequence[str],
    config: DataConfig,
    sample: Callable[[], Mapping[str, str]],
    *,
    log_choice: bool = True,
) -> Columns:
    return choose_columns(
        names,
        config,
        needs_summary=about.phase != "predict",
        source=label,
        sample=sample,
        log_choice=log_choice,
    )


def _sample(rows: Sequence[Mapping[str, object]]) -> dict[str, str]:
    return {name: one_line(value) for row in rows[:1] for name, value in row.items()}


def _split(source: _Source, cache_dir: Path | None, *, in_memory: bool) -> Split:
    about = source.about
    keep_all = about.phase == "predict"
    schema = SCHEMA if source.columns.references is None else SCHEMA_OF_SEVERAL
    options: dict[str, Any] = {"keep_all": keep_all, "limit": about.limit, "schema": schema}
    options["verify"] = source.check
    if in_memory or source.content is None:
        return split_in_memory(source.examples(), **options)
    within = about.within and asdict(about.within)
    key = cache_key(*source.content, vars(source.columns), keep_all, about.limit, within)
    return with_cache(
        cache_dir,
        lambda cache: stored_split(source.examples(), cache / "corpus" / key, **options),
        lambda: split_in_memory(source.examples(), **options),
    )


def _unusable(source: _Source, split: Split, sources: Sequence[_Source]) -> Problem:
    about, ranges = source.about, [one.about.within for one in sources if one.about.within]
    # If no range has a row, the fractions are not the cause.
    if about.within is not None and len(empty_ranges(source.all_examples(), ranges)) < len(ranges):
        return share_problem(source.all_examples, about.within, ranges, source.label)
    return Problem(
        key=about.key,
        what=f"no usable row in {about.value}: of {split.health.rows} rows, "
        f"{split.health.empty_document} have no document, {split.health.empty_summary} no summary",
        hint="Check data.text_column and data.summary_column.",
    )


def _log_shares(config: DataConfig, splits: Mapping[SplitSource, Split]) -> None:
    """Log the number of rows held out of the training rows."""
    held_out = {about: split for about, split in splits.items() if about.within is not None}
    for about, split in held_out.items():
        if about.phase != "train":
            share = getattr(config, f"{about.name}_share")
            logger.info(
                "%s: held out %s rows of %s by a hash of the document (data.%s_share=%g)",
                *(about.name, f"{split.health.rows:,}", about.value, about.name, share),
            )
    trains = any(about.phase == "train" for about in held_out)
    for name in ("validation", "test"):
        share = getattr(config, f"{name}_share")
        if trains and share is not None and not config.is_held_out(name):
            logger.warning(
                "the rows of data.%s_share=%g are held out but not used: a file is given instead",
                *(name, share),
            )


def _health(streamed: list[str], splits: Mapping[SplitSource, Split]) -> CorpusHealth:
    counts = {name: SplitHealth(streamed=True) for name in streamed}
    counts |= {about.name: split.health for about, split in splits.items()}
    hashes = {about.name: split.hashes for about, split in splits.items()}
    return CorpusHealth(splits=counts, overlaps=count_overlaps(hashes))
