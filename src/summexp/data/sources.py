"""Hub datasets and local dataset folders, with readable errors."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import datasets
import httpx2
from datasets.exceptions import (
    DataFilesNotFoundError,
    DatasetGenerationError,
    DatasetNotFoundError,
    DatasetsError,
)
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.hf_api import RepoFolder

from summexp.data.cache import with_cache
from summexp.data.config import DataConfig
from summexp.data.data_checks import (
    empty_split,
    is_saved,
    no_data,
    saved_splits,
    stream_problem,
)
from summexp.data.split_sources import SplitSource
from summexp.errors import ConfigError, RunError, SummexpError, nearest
from summexp.paths import at_home
from summexp.upstream.datasets import (
    Cause,
    NoFilesError,
    downloads_folder,
    recognized,
)
from summexp.upstream.hf_environment import datasets_is_offline, datasets_offline

_CONVERTED = "refs/convert/parquet"
"""Branch of the Hub's automatic conversion of a repository to Parquet files."""
_DEFAULT_CONFIG = "default"


def named_splits(
    config: DataConfig, sources: Sequence[SplitSource], *, offline: bool, cache_dir: Path | None
) -> list[datasets.Dataset]:
    """Load splits of `data.name`: a folder of data files or of `save_to_disk`, or a Hub repository.

    A folder takes precedence over a repository of the same name. A repository is downloaded once.

    Args:
        config: the `data` group.
        sources: the splits; slices such as `train[:90%]` are possible.
        offline: whether to use cached downloads only.
        cache_dir: download cache of `datasets`; None for its default.

    Raises:
        ConfigError: the repository, its configuration or a split is missing or not accessible.
        RunError: the Hub answers with another error.
    """
    assert config.name is not None
    folder = Path(at_home(config.name))
    with _translated_errors(config, sources, offline=offline):
        if is_saved(folder):
            return [_saved(folder, config, source) for source in sources]
        with datasets_offline(offline=offline):
            from_hub = not folder.is_dir() and config.revision == _CONVERTED
            call = _converted(config, offline=offline) if from_hub else _call(config)
            call["split"] = [source.value for source in sources]
            return with_cache(
                cache_dir or downloads_folder(),
                lambda cache: list(datasets.load_dataset(**call, cache_dir=str(cache))),
                lambda: _loaded_in_memory(call),
                variable="HF_HOME",
            )


def _loaded_in_memory(call: dict[str, Any]) -> list[datasets.Dataset]:
    with tempfile.TemporaryDirectory(prefix="summexp-datasets-") as folder:
        return list(datasets.load_dataset(**call, cache_dir=folder, keep_in_memory=True))


def streamed_split(
    config: DataConfig, source: SplitSource, *, offline: bool
) -> datasets.IterableDataset:
    """Open a split of `data.name` as a stream.

    Raises:
        ConfigError: as `named_splits`; or the source cannot be streamed.
    """
    assert config.name is not None
    if problem := stream_problem(config, source, offline=offline):
        raise ConfigError(problem)
    with _translated_errors(config, [source], offline=offline):
        return datasets.load_dataset(**_call(config), split=source.value, streaming=True)


def _call(config: DataConfig) -> dict[str, Any]:
    """Return the arguments of `load_dataset` for the repository or folder."""
    assert config.name is not None
    folder = Path(at_home(config.name))
    if folder.is_dir():
        return {"path": str(folder), "name": config.config_name}
    call = {"path": config.name, "name": config.config_name, "revision": config.revision}
    if config.revision == _CONVERTED:
        call.update(name=None, data_dir=config.config_name or _DEFAULT_CONFIG)
    return call


def _converted(config: DataConfig, *, offline: bool) -> dict[str, Any]:
    """Download the Hub's Parquet conversion of a repository, and return the arguments to load it.

    That branch has a folder for each configuration without metadata, and `load_dataset` does not
    find a dataset loaded with `data_dir` in its cache when offline.
    """
    assert config.name is not None
    name = config.config_name or _DEFAULT_CONFIG
    root = snapshot_download(
        config.name,
        repo_type="dataset",
        revision=_CONVERTED,
        allow_patterns=f"{name}/*",
        local_files_only=offline,
    )
    if not (Path(root) / name).is_dir():
        if offline:
            raise _unreachable(config, offline=offline)
        top = HfApi().list_repo_tree(config.name, revision=_CONVERTED, repo_type="dataset")
        raise _no_config(config, [entry.path for entry in top if isinstance(entry, RepoFolder)])
    return {"path": str(Path(root) / name)}


def _saved(folder: Path, config: DataConfig, source: SplitSource) -> datasets.Dataset:
    splits = saved_splits(folder) or ["train"]
    split = source.value.partition("[")[0]
    if split not in splits:
        raise ConfigError(no_data(config, source.phase, splits))
    if problem := empty_split(config, source):
        raise ConfigError(problem)
    # The split alone: `datasets` cannot load one that it wrote without rows.
    rows = datasets.load_from_disk(folder / split if saved_splits(folder) else folder)
    assert isinstance(rows, datasets.Dataset)
    slices = datasets.ReadInstruction.from_spec(source.value).to_absolute({split: len(rows)})
    return datasets.concatenate_datasets(
        [
            rows.select(range(part.from_ or 0, len(rows) if part.to is None else part.to))
            for part in slices
        ]
    )


@contextmanager
def _translated_errors(
    config: DataConfig, sources: Sequence[SplitSource], *, offline: bool
) -> Iterator[None]:
    """Turn the errors of `datasets` and of the Hub into `ConfigError`s."""
    try:
        yield
    except SummexpError:
        raise
    except Exception as error:
        known = _known_by_message(error, config, sources) or _known_by_type(
            error, config, offline=offline
        )
        if known is None and not isinstance(error, OSError | ValueError | DatasetsError):
            raise
        name = config.name
        raise known or _problem("name", f"cannot load {name}: {error}") from error


def _known_by_type(error: Exception, config: DataConfig, *, offline: bool) -> SummexpError | None:
    name = config.name
    if isinstance(error, LocalEntryNotFoundError | ConnectionError | httpx2.TransportError):
        return _unreachable(config, offline=offline)
    if isinstance(error, GatedRepoError):
        return _gated(config)
    if isinstance(error, RevisionNotFoundError):
        return _no_revision(config)
    if isinstance(error, RepositoryNotFoundError | DatasetNotFoundError):
        return _problem(
            "name",
            f"there is no folder and no Hub dataset {name}, or it is private",
            "Check the spelling (owner/name). For a private one, set the environment variable "
            "HF_TOKEN to your token.",
        )
    if isinstance(error, DataFilesNotFoundError | NoFilesError):
        return _problem("name", f"{name} has no supported data files")
    if isinstance(error, DatasetGenerationError):
        return _problem("name", f"cannot read a file of {name}: {error.__cause__ or error}")
    if isinstance(error, HfHubHTTPError):
        return RunError(f"data.name: the Hub answered for {name}: {str(error).splitlines()[0]}")
    return None


def _known_by_message(
    error: Exception, config: DataConfig, sources: Sequence[SplitSource]
) -> SummexpError | None:
    """Recognize errors of `datasets` without a specific class."""
    known = recognized(error)
    if known is None:
        return None
    match known.cause:
        case Cause.GATED:
            return _gated(config)
        case Cause.REVISION:
            return _no_revision(config)
        case Cause.SCRIPT:
            return _problem(
                "name",
                f"{config.name} is a loading script, which `datasets` no longer runs",
                f"Use the Hub's Parquet conversion: data.revision={_CONVERTED}",
            )
        case Cause.CONFIGURATION:
            return _no_config(config, known.available)
        case Cause.SPLIT:
            missing = (one for one in sources if one.value.partition("[")[0] not in known.available)
            return ConfigError(no_data(config, one.phase, known.available) for one in missing)


def _gated(config: DataConfig) -> ConfigError:
    return _problem(
        "name",
        f"{config.name} is gated: its owner must grant access",
        f"Request access on the page of {config.name} at the Hub, then set the environment "
        "variable HF_TOKEN to your token.",
    )


def _no_revision(config: DataConfig) -> ConfigError:
    return _problem("revision", f"{config.name} has no revision {config.revision!r}")


def _no_config(config: DataConfig, available: Sequence[str]) -> ConfigError:
    if config.config_name is None:
        what = f"{config.name} has several configurations, and none is chosen"
    else:
        what = f"{config.name} has no configuration {config.config_name!r}"
    near = nearest(config.config_name or "", available)
    return _problem(
        "config_name", what, f"{near + ' ' if near else ''}It has: {', '.join(available)}."
    )


def _unreachable(config: DataConfig, *, offline: bool) -> ConfigError:
    if offline or datasets_is_offline():
        switch = "offline=true" if offline else "HF_HUB_OFFLINE"
        return _problem(
            "name",
            f"{config.name} is not in the cache, and {switch} forbids a download",
            "Run once with network access, or use files (data=custom_csv, …).",
        )
    return _problem(
        "name",
        f"cannot reach the Hub, and {config.name} is not in the cache",
        "Check the network, or use files (data=custom_csv, …).",
    )


def _problem(key: str, what: str, hint: str | None = None) -> ConfigError:
    return ConfigError.of(key=f"data.{key}", what=what, hint=hint)
