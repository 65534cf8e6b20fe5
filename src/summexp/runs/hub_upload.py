"""Upload of a run to the Hub (`training.push_to_hub`), as a model repository.

Only the files listed here are uploaded. Excerpts of the data, predictions, config and record are
uploaded only if `hub.include` lists them.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
from huggingface_hub import CommitOperationAdd, HfApi, RepoUrl, constants
from huggingface_hub.errors import (
    HfHubHTTPError,
    LocalTokenNotFoundError,
    OfflineModeIsEnabled,
    RevisionNotFoundError,
)

from summexp.errors import RunError
from summexp.modeling.adapters import ADAPTER_FOLDER
from summexp.reports.local_paths import config_without_folders, tree_without_folders
from summexp.reports.report import report_texts
from summexp.reports.run_results import read_run
from summexp.reports.texts import shown_size
from summexp.run_folder.layout import CONFIG_FILE, PREDICTION_FORMATS, RUN_FILE, predictions_file
from summexp.run_folder.record_file import read_record

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)

_MODEL = re.compile(
    r"config\.json|generation_config\.json|model(-[0-9]+-of-[0-9]+)?\.safetensors"
    r"|model\.safetensors\.index\.json|tokenizer(_config)?\.json|tokenizer\.model"
    r"|special_tokens_map\.json|added_tokens\.json|vocab\.(json|txt)|merges\.txt"
    r"|(spiece|sentencepiece\.bpe)\.model|(source|target)\.spm|chat_template\.jinja"
)
"""Files of a standard model folder, tokenizer included."""
_CARD_AND_SCORES = re.compile(r"README\.md|(train|eval|predict|all)_results\.json")
_ADAPTER = re.compile(r"adapter_config\.json|adapter_model\.safetensors")
_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError)
"""Exceptions of the client; hf_xet (1.8) raises plain RuntimeError."""


def push(config: Config, folder: Path) -> str:
    """Upload a finished run; return the repository's URL.

    The repository is `training.hub_model_id`, or the run folder's name under the user's account.
    The token comes from HF_TOKEN or from `hf auth login`. The list of files is logged first.

    Raises:
        RunError: the Hub rejected the upload or could not be reached; the run itself is complete.
    """
    files = {**model_files(folder), **_named(folder, _CARD_AND_SCORES)}
    adapter = folder / ADAPTER_FOLDER
    if adapter.is_dir() and not adapter.is_symlink():
        found = _named(adapter, _ADAPTER).items()
        files |= {f"{ADAPTER_FOLDER}/{name}": content for name, content in found}
    for part in config.hub.include:
        files |= _INCLUDABLE[part](folder)
    try:
        return _upload(config, folder, files, "Training run")
    except _FAILURES as error:
        raise RunError(
            f"the run in {folder} is finished, but was not uploaded to "
            f"{_repository(config, folder)}: {_reason(error, config)}.\n"
            "    Run the same command again to upload it, without training."
        ) from error


def push_checkpoint(config: Config, folder: Path, checkpoint: Path) -> None:
    """Upload the model of a checkpoint with `training.hub_strategy=every_save`.

    A checkpoint with an unmerged adapter is not uploaded. An upload that fails is a warning, since
    the finished run is uploaded later.
    """
    training = config.training
    adapted = config.peft.name != "none"
    if not training.push_to_hub or training.hub_strategy != "every_save" or adapted:
        return
    try:
        _upload(config, folder, model_files(checkpoint), f"Training: {checkpoint.name}")
    except _FAILURES as error:
        log.warning("%s was not uploaded: %s", checkpoint.name, _reason(error, config))


def model_files(folder: Path) -> dict[str, bytes | Path]:
    """Return the files of model and tokenizer in a folder, name to path."""
    return _named(folder, _MODEL)


def _named(folder: Path, names: re.Pattern[str]) -> dict[str, bytes | Path]:
    """Return the files of a folder whose names match; symbolic links are left out."""
    return {
        path.name: path
        for path in sorted(folder.iterdir())
        if names.fullmatch(path.name) and path.is_file() and not path.is_symlink()
    }


def _report(folder: Path) -> dict[str, bytes | Path]:
    texts = report_texts(folder, with_folders=False)
    return {name: text.encode() for name, text in texts.items()}


def _predictions(folder: Path) -> dict[str, bytes | Path]:
    names = map(re.escape, map(predictions_file, PREDICTION_FORMATS))
    return _named(folder, re.compile("|".join(names)))


def _config(folder: Path) -> dict[str, bytes | Path]:
    return {CONFIG_FILE: config_without_folders(read_run(folder).config).encode()}


def _record(folder: Path) -> dict[str, bytes | Path]:
    record = read_record(folder) or {}
    # Rows of the data are uploaded with the report only.
    record.pop("examples", None)
    record.get("predictions", {}).pop("examples", None)
    if record.get("git"):
        record["git"] = {name: value for name, value in record["git"].items() if name != "diff"}
    text = json.dumps(tree_without_folders(record), indent=2, ensure_ascii=False)
    return {RUN_FILE: f"{text}\n".encode()}


_INCLUDABLE: dict[str, Callable[[Path], dict[str, bytes | Path]]] = {
    "report": _report,
    "predictions": _predictions,
    "config": _config,
    "record": _record,
}
"""Possible values of `hub.include`."""


def _upload(config: Config, folder: Path, files: Mapping[str, bytes | Path], message: str) -> str:
    api, training = HfApi(), config.training
    address = api.create_repo(
        _repository(config, folder), private=training.hub_private_repo, exist_ok=True
    )
    private = api.repo_info(address.repo_id).private
    if training.hub_private_repo and not private:
        # `create_repo` does not change an existing repository.
        raise PermissionError(
            "it is public, and training.hub_private_repo=true: make it private on the Hub"
        )
    _announce(address, files, private=bool(private))
    api.create_commit(
        address.repo_id,
        [CommitOperationAdd(name, content) for name, content in sorted(files.items())],
        commit_message=message,
        revision=training.hub_revision,
    )
    log.info("uploaded to %s", address)
    return str(address)


def _repository(config: Config, folder: Path) -> str:
    return config.training.hub_model_id or folder.absolute().name


def _announce(address: RepoUrl, files: Mapping[str, bytes | Path], *, private: bool) -> None:
    """Log the files to upload and the visibility of the repository."""
    sizes = {
        name: len(content) if isinstance(content, bytes) else content.stat().st_size
        for name, content in sorted(files.items())
    }
    visibility = "private" if private else "public: everybody can read it"
    log.info("uploading to %s (%s)", address, visibility)
    width = max(map(len, sizes), default=0)
    for name, size in sizes.items():
        log.info("  %-*s  %s", width, name, shown_size(size))


def _reason(error: Exception, config: Config) -> str:
    """Return the reason of a failed upload, with advice."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    revision = config.training.hub_revision
    if isinstance(error, RevisionNotFoundError):
        return f"it has no branch {revision} (training.hub_revision): create it on the Hub"
    if status == 401 or isinstance(error, LocalTokenNotFoundError):
        return "no valid token: set HF_TOKEN to a token with write access"
    if status == 403:
        return "the token has no write access: set HF_TOKEN to a token with write access"
    if status == 404:
        return "no such repository: check training.hub_model_id"
    if status is not None and status >= 500:
        return f"the Hub answered with {status}: try again later"
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: remove it from the environment"
    if isinstance(error, httpx2.TransportError):
        return f"{constants.ENDPOINT} cannot be reached ({text}): try again with a network"
    return text.rstrip(".")
