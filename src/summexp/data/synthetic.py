"""Synthetic rows for `debug=tiny`, in place of a Hub dataset or missing data."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from itertools import islice

from summexp.data.config import DataConfig
from summexp.data.news_briefs import bundled_rows
from summexp.data.split_sources import BUNDLED, ONLY_VALIDATION
from summexp.paths import at_home

_ROWS = 16


def needs_synthetic_rows(config: DataConfig) -> bool:
    """Return whether the corpus is neither bundled, nor a local folder, nor given as files."""
    given = (config.train_file, config.validation_file, config.test_file)
    if any(given) or config.validation_files or config.name == BUNDLED:
        return False
    return config.name is None or not os.path.isdir(at_home(config.name))


def synthetic_rows(
    config: DataConfig, phases: Collection[str]
) -> Mapping[str, Iterable[Mapping[str, object]]]:
    """Return rows of the bundled corpus under the column names of the config.

    Args:
        config: the `data` group.
        phases: any of `train`, `eval` and `predict`.
    """
    splits = {"train": "train", "eval": ONLY_VALIDATION, "predict": "test"}
    return {splits[phase]: list(_renamed(config, splits[phase])) for phase in phases}


def _renamed(config: DataConfig, split: str) -> Iterator[dict[str, object]]:
    for row in islice(bundled_rows(split), _ROWS):
        yield {
            config.id_column or "id": row["id"],
            config.text_column or "document": row["document"],
            config.summary_column or "summary": row["summary"],
        }
