"""Sources of the splits of each phase, from the keys of the `data` group.

Tested in tests/data/test_corpus.py, tests/data/test_shares.py.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from summexp.data.columns import COLUMN_KEYS
from summexp.data.config import DataConfig
from summexp.data.shares import HashRange, hash_ranges
from summexp.data.source_files import Inspections
from summexp.errors import ConfigError
from summexp.paths import at_home

Phase = Literal["train", "eval", "predict"]
"""Phase of a run that reads a split."""

PHASES: tuple[Phase, ...] = ("train", "eval", "predict")

ONLY_VALIDATION = "validation"
"""Name of the validation set if there is only one."""

BUNDLED = "news_briefs"
"""`data.name` of the bundled corpus."""


@dataclass(frozen=True, kw_only=True)
class SplitSource:
    """The source of one split."""

    phase: Phase
    """Phase that uses the split."""
    name: str
    """Name in counts and messages: `train`, `validation`, `test`, or `validation_<name>` with
    several validation sets."""
    set_name: str
    """Name of the validation set in the phase `eval`, else the same as `name`."""
    key: str
    """Config key of the source."""
    value: str
    """A file, or a split of `data.name`."""
    limit: int | None
    """Maximum number of used rows."""
    within: HashRange | None = None
    """Hash range of the rows of this split; None for all rows."""


def named_folder(name: str | None) -> Path | None:
    """Return the local folder of `data.name`, or None."""
    if name is None or name == BUNDLED:
        return None
    folder = Path(at_home(name))
    return folder if folder.is_dir() else None


def data_of(config: DataConfig, phases: Collection[Phase], files: Inspections) -> DataConfig:
    """Return the data that the phases read: only `test_file` if prediction alone remains.

    A test file may then be given beside `name`, the dataset of the training. The configured columns
    apply to it only if it has them.
    """
    if config.name is None or not config.test_file or set(phases) != {"predict"}:
        return config
    named = {key: getattr(config, key) for key in COLUMN_KEYS}
    try:
        file = files.of(config.test_file, language=config.language)
        if file.may_have_more_columns and not {*named.values(), None} <= {*file.columns, None}:
            file = files.verified(file)
        own = file.columns
    except ConfigError:
        own = ()  # reported when the file is checked
    columns: dict[str, Any] = {key: name if name in own else None for key, name in named.items()}
    return replace(
        config,
        name=None,
        config_name=None,
        revision=None,
        validation_share=None,
        test_share=None,
        **columns,
    )


def split_sources(config: DataConfig, phases: Collection[Phase]) -> Iterator[SplitSource]:
    """Yield the source of each configured split that the phases need."""
    for phase in PHASES:
        if phase in phases:
            yield from _sources_of(config, phase)


def _sources_of(config: DataConfig, phase: Phase) -> Iterator[SplitSource]:
    split, limit = {
        "train": ("train", config.max_train_samples),
        "eval": (ONLY_VALIDATION, config.max_eval_samples),
        "predict": ("test", config.max_predict_samples),
    }[phase]
    if phase == "eval" and config.validation_files:
        for name, path in config.validation_files.items():
            yield SplitSource(
                phase=phase,
                name=f"{split}_{name}",
                set_name=name,
                key=f"data.validation_files.{name}",
                value=path,
                limit=limit,
            )
        return
    within = hash_ranges(config.validation_share, config.test_share).get(split)
    if phase != "train" and not config.is_held_out(split):
        within = None
    # A held-out split is read from the source of the training rows.
    place = split if within is None else "train"
    suffix = "split" if config.name is not None else "file"
    value = getattr(config, f"{place}_{suffix}")
    if value is not None:
        yield SplitSource(
            phase=phase,
            name=split,
            set_name=split,
            key=f"data.{place}_{suffix}",
            value=value,
            limit=limit,
            within=within,
        )
