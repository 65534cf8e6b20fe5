"""Corpus of a run: loads the splits that its phases need, with counts and fingerprints."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path

import datasets
import pyarrow as pa

from summexp.data.cache import cache_key, with_cache
from summexp.data.columns import (
    Columns,
    Example,
    choose_columns,
    examples,
    is_blank,
    to_example,
    to_text,
)
from summexp.data.config import DataConfig
from summexp.data.corpus_cache import (
    SCHEMA,
    SCHEMA_OF_SEVERAL,
    Split,
    SplitOptions,
    SplitWriter,
    stored_split,
)
from summexp.data.data_checks import check_file, missing_phases, no_data
from summexp.data.files import digest, errors_at, folder_digest, one_line
from summexp.data.health import CorpusHealth, SplitHealth, count_overlaps
from summexp.data.input_rows import InputRows, column_texts
from summexp.data.known_files import known_file, remember_file
from summexp.data.shares import empty_ranges, share_problem
from summexp.data.source_files import (
    TEXT_COLUMN,
    Inspections,
    MisleadingStartError,
    RowReader,
    SourceFile,
    parquet_table,
    read_rows,
    verified,
)
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
    files: Inspections | None = None,
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
        files: files that were inspected before the run.

    Raises:
        ConfigError: a split is missing, cannot be read, lacks columns, or has no usable row.
    """
    wanted = [phase for phase in PHASES if phase in phases]
    # Digests are taken before reading, so that a folder replaced meanwhile is detected later.
    folder = named_folder(config.name) if rows is None else None
    digests = {"data.name": folder_digest(folder)} if folder is not None else {}
    files = Inspections() if files is None else files
    if rows is not None:
        sources = [_from_rows(about, rows, config) for about in _given(wanted, rows, config, files)]
    else:
        about = list(split_sources(config, wanted))
        present = {one.phase for one in about}
        if missing := list(missing_phases(config, wanted, present, files)):
            raise ConfigError(missing)
        sources = _open(about, config, files, offline=offline, hub_cache_dir=hub_cache_dir)
    streamed = [one for one in sources if config.streaming and one.about.phase == "train"]
    stored = [source for source in sources if source not in streamed]
    splits = _splits(stored, None if in_memory else cache_dir)
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
        files=digests | {one.about.key: one.file.digest for one in sources if one.file},
    )


class _File:
    """A file of the corpus, which may serve several splits."""

    def __init__(self, inspected: SourceFile) -> None:
        self.inspected = inspected
        self.found_digest: str | None = None
        self._logged: set[str] = set()
        self._chosen: dict[SplitSource, tuple[SourceFile, Columns]] = {}

    @property
    def digest(self) -> str:
        """Digest of the file; it is read unless that is known."""
        if self.found_digest is None:
            self.found_digest = digest(self.inspected.path)
        return self.found_digest

    def verify(self) -> SourceFile:
        """Return the file with what only all of it shows, and log what is unusual."""
        self.inspected = verified(self.inspected)
        self.log()
        return self.inspected

    def columns(self, about: SplitSource, config: DataConfig, *, log_choice: bool) -> Columns:
        """Return the columns of a split, chosen again when more of the file is known.

        Args:
            about: the split.
            config: the `data` group.
            log_choice: whether to log a choice that differs from the one before.
        """
        file = self.inspected
        if file.format == "txt":
            return Columns(document=TEXT_COLUMN, summary=None, id=None)
        known, before = self._chosen.get(about, (None, None))
        if known is None or before is None or known.columns != file.columns:
            choose = partial(_choose, about, about.value, file.columns, config, lambda: file.sample)
            found = choose(log_choice=False)
            if log_choice and found != before:
                choose(log_choice=True)
            self._chosen[about] = file, found
            return found
        return before

    def log(self) -> None:
        """Log what is unusual in the file, once."""
        for remark in self.inspected.remarks():
            if remark not in self._logged:
                self._logged.add(remark)
                logger.warning("%s", remark)


@dataclass(frozen=True, kw_only=True, eq=False)
class _Source:
    """A split before it is read."""

    about: SplitSource
    label: str
    """Name in messages."""
    choose: Callable[[], Columns]
    """Returns the columns; for a file, those of what is known of it."""
    rows: Callable[[], Rows]
    every_column: Callable[[], pa.Table | Rows]
    """Returns the rows with all columns of the source."""
    content: tuple[object, ...] | None = None
    """Values that the rows depend on, for the cache key; None for a file, whose digest is known
    after reading, and for rows that are not cached."""
    file: _File | None = None
    """File of the rows, if it is one."""

    @property
    def columns(self) -> Columns:
        """The columns of the split."""
        return self.choose()

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return _names(self.columns)

    @property
    def options(self) -> SplitOptions:
        """The options of the split."""
        return SplitOptions(
            keep_all=self.about.phase == "predict",
            limit=self.about.limit,
            within=self.about.within,
            schema=SCHEMA if self.columns.references is None else SCHEMA_OF_SEVERAL,
        )

    def key(self, content: Sequence[object]) -> str:
        """Return the key of the split in the cache."""
        options = self.options
        within = options.within and asdict(options.within)
        return cache_key(*content, vars(self.columns), options.keep_all, options.limit, within)

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
        if self.file is not None:
            # Once, and not at the start of each epoch.
            with errors_at(self.about.key):
                self.file.verify()
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
    about: list[SplitSource],
    config: DataConfig,
    files: Inspections,
    *,
    offline: bool,
    hub_cache_dir: Path | None,
) -> list[_Source]:
    if config.name is None:
        opened: dict[str, _File] = {}
        return _open_all(
            [
                partial(_from_file, one, config, files, opened, _is_first(one, about))
                for one in about
            ]
        )
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


def _from_file(
    about: SplitSource,
    config: DataConfig,
    files: Inspections,
    opened: dict[str, _File],
    is_first: bool,
) -> _Source:
    label = about.value
    with errors_at(about.key):
        inspected = check_file(about, config, files)
    file = opened.setdefault(inspected.path, _File(inspected))
    choose = partial(file.columns, about, config, log_choice=is_first)
    choose()
    return _Source(
        about=about,
        label=label,
        choose=choose,
        rows=partial(_file_rows, about.key, file, choose),
        every_column=partial(_file_input, about.key, file),
        file=file,
    )


def _file_rows(key: str, file: _File, choose: Callable[[], Columns]) -> Rows:
    with errors_at(key):
        yield from read_rows(file.verify(), columns=_names(choose()))


def _names(columns: Columns) -> list[str]:
    return [name for name in vars(columns).values() if name is not None]


def _file_input(key: str, file: _File) -> pa.Table | Rows:
    with errors_at(key):
        if file.inspected.format == "parquet":
            return parquet_table(file.inspected)
        return list(read_rows(file.verify()))


def _from_dataset(
    about: SplitSource,
    split: datasets.Dataset | datasets.IterableDataset,
    config: DataConfig,
    is_first: bool,
) -> _Source:
    label = f"{config.name} [{about.value}]"
    head = list(split.take(_SAMPLE_ROWS))
    if not head:
        raise ConfigError.of(key=about.key, what=f"{label} holds no rows")
    columns = _choose(
        about, label, list(head[0]), config, lambda: _sample(head), log_choice=is_first
    )
    names = _names(columns)
    is_stream = isinstance(split, datasets.IterableDataset)
    return _Source(
        about=about,
        label=label,
        choose=lambda: columns,
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
        choose=lambda: Columns(document="document", summary="summary", id="id"),
        rows=partial(bundled_rows, about.value),
        every_column=partial(bundled_rows, about.value),
    )


def _given(
    phases: list[Phase], names: Collection[str], config: DataConfig, files: Inspections
) -> list[SplitSource]:
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
    if missing := list(missing_phases(synthetic, phases, {one.phase for one in sources}, files)):
        raise ConfigError(missing)
    return sources


def _from_rows(about: SplitSource, rows: Mapping[str, Rows], config: DataConfig) -> _Source:
    listed = list(rows[about.set_name])
    names = list(dict.fromkeys(name for row in listed for name in row))
    columns = _choose(about, about.name, names, config, lambda: _sample(listed))
    return _Source(
        about=about,
        label=about.name,
        choose=lambda: columns,
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


def _splits(sources: Sequence[_Source], cache_dir: Path | None) -> dict[SplitSource, Split]:
    """Return the split of each source; a file that serves several is read once."""
    by_file: dict[object, list[_Source]] = {}
    for source in sources:
        by_file.setdefault(source.file or source, []).append(source)
    splits: dict[SplitSource, Split] = {}
    for file, served in by_file.items():
        first = served[0]
        if isinstance(file, _File):
            with errors_at(first.about.key):
                splits |= with_cache(
                    cache_dir,
                    partial(_splits_of_file, file, served),
                    partial(_splits_of_file, file, served, None),
                )
        elif first.content is None:
            splits[first.about] = _split(first, None)
        else:
            splits[first.about] = with_cache(
                cache_dir, partial(_split, first), partial(_split, first, None)
            )
    return {source.about: splits[source.about] for source in sources}


def _split(source: _Source, cache: Path | None) -> Split:
    """Return the split of a source that is not a file, from the cache if it is there."""
    key = source.key(source.content or ())
    if cache is not None and (split := stored_split(cache, key)):
        return split
    with SplitWriter(source.options, cache) as writer:
        for example in source.all_examples():
            writer.add(example)
            if writer.is_full:
                break
        return writer.finish(key)


def _splits_of_file(
    file: _File, sources: Sequence[_Source], cache: Path | None
) -> dict[SplitSource, Split]:
    """Return the splits of a file, of which those that are not in the cache are read in one pass.

    Raises:
        ConfigError: the file is invalid, or changed while it was read.
    """
    splits: dict[SplitSource, Split] = {}
    if cache is not None and (known := known_file(file.inspected, cache)):
        file.inspected, file.found_digest = known
        for source in sources:
            if split := stored_split(cache, source.key(_content(file))):
                splits[source.about] = split
    missing = [source for source in sources if source.about not in splits]
    if missing:
        splits |= _read_splits(file, missing, cache)
        if cache is not None:
            remember_file(file.inspected, file.digest, cache)
    # Here for the splits of the cache; those that were read have logged it before their first row.
    file.log()
    return splits


def _read_splits(
    file: _File, sources: Sequence[_Source], cache: Path | None
) -> dict[SplitSource, Split]:
    if file.inspected.is_guessed:
        file.verify()
    file.log()
    try:
        return _read_once(file, sources, cache)
    except MisleadingStartError:
        file.verify()
        return _read_once(file, sources, cache)


def _read_once(
    file: _File, sources: Sequence[_Source], cache: Path | None
) -> dict[SplitSource, Split]:
    """Decode, digest, count and convert a file in one pass over its rows."""
    names = list(dict.fromkeys(name for source in sources for name in source.names))
    with ExitStack() as stack:
        reader = stack.enter_context(RowReader(file.inspected, columns=names))
        writers = {
            source: stack.enter_context(SplitWriter(source.options, cache)) for source in sources
        }
        unfilled = dict(writers)
        columns_of = {source: source.columns for source in sources}
        for number, row in enumerate(reader):
            # Splits of the same columns share the example.
            found: dict[Columns, Example] = {}
            for source, writer in list(unfilled.items()):
                columns = columns_of[source]
                if columns not in found:
                    found[columns] = to_example(row, number, columns, source.label)
                writer.add(found[columns])
                if writer.is_full:
                    del unfilled[source]
            if not unfilled:
                break
        file.found_digest = reader.digest()
        file.inspected.check()
        file.inspected = replace(file.inspected, is_verified=True)
        content = _content(file)
        return {
            source.about: writer.finish(source.key(content)) for source, writer in writers.items()
        }


def _content(file: _File) -> tuple[object, ...]:
    return ("file", file.digest, file.inspected.format, file.inspected.language)


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
