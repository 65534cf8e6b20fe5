"""Files of `conf/` for the models, datasets, files and trackers of an old command.

Tested in tests/migrate/test_translation.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

from omegaconf import DictConfig, OmegaConf

from summexp.config.compose import conf_dir

_OLD_MODELS = {
    "t5-small": "google-t5/t5-small",
    "t5-base": "google-t5/t5-base",
    "t5-large": "google-t5/t5-large",
}
"""Names from before the Hub's repositories had an owner, and their names now."""
_OLD_DATASETS = {
    "Samsung/samsum": "samsum",
    "nakhun/thaisum": "thaisum",
}
"""Repositories that are gone or no longer load, and the file that reads a copy. Names without an
owner (`xsum`) are the files' own."""
_DEFAULT_CONFIGURATIONS = {"big_patent": "all"}
"""The configuration that the old name meant without one, where the file has another."""
CUSTOM_MODEL = "custom"
"""The file for a model that has none."""
CUSTOM_DATASET = "custom_hub"
"""The file for a dataset of the Hub that has none."""
_CUSTOM_FILES = {"csv": "custom_csv", "tsv": "custom_csv", "parquet": "custom_parquet"}
_CUSTOM_FILES |= {"json": "custom_json", "jsonl": "custom_json", "ndjson": "custom_json"}


@cache
def _files(group: str) -> dict[str, DictConfig]:
    """Return the files of a group, name to content."""
    found = {}
    for path in sorted((conf_dir() / group).glob("*.yaml")):
        content = OmegaConf.load(path)
        assert isinstance(content, DictConfig)
        found[path.stem] = content
    return found


def model_choice(name: str | None) -> str:
    """Return the file of `conf/model` for a model's name or path."""
    name = _OLD_MODELS.get(name or "", name)
    named = {content.model.get("name_or_path"): stem for stem, content in _files("model").items()}
    return named.get(name, CUSTOM_MODEL) if name else CUSTOM_MODEL


def dataset_choice(name: str) -> str:
    """Return the file of `conf/data` for a dataset of the Hub."""
    files = _files("data")
    named = {content.data.get("name"): stem for stem, content in files.items()}
    hub = {stem for repository, stem in named.items() if repository and "/" in repository}
    name = _OLD_DATASETS.get(name, name)
    return name if name in hub else named.get(name, CUSTOM_DATASET)


def dataset_configuration(choice: str) -> str | None:
    """Return the configuration that a dataset had by default, if the file has another."""
    return _DEFAULT_CONFIGURATIONS.get(choice)


def file_choice(name: str) -> str | None:
    """Return the choice for a data file by its ending, or None if the ending is not known."""
    endings = [ending.lower().lstrip(".") for ending in PurePath(name).suffixes[-2:]]
    if endings[-1:] == ["gz"]:
        endings.pop()
    return _CUSTOM_FILES.get(endings[-1]) if endings else None


def tracking_choice(settings: Mapping[str, Any]) -> str | None:
    """Return the file of `conf/tracking` that has exactly these trackers, or None."""
    wanted = settings.get("tracking.trackers")
    for stem, content in _files("tracking").items():
        if wanted is not None and list(content.trackers) == list(wanted):
            return stem
    return None
