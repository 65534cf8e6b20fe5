"""`training.push_to_hub`: the finished run as a model repository on the Hub.

What is uploaded is listed here by name; nothing else that lies in the run folder is. Excerpts of
the data, predictions, the config and the record go only where `hub.include` asks for them.
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
"""A standard model folder, its tokenizer included."""
_CARD_AND_SCORES = re.compile(r"README\.md|(train|eval|predict|all)_results\.json")
_ADAPTER = re.compile(r"adapter_config\.json|adapter_model\.safetensors")
_FAILURES = (httpx2.HTTPError, httpx2.InvalidURL, OSError, RuntimeError, ValueError)
"""What the client raises; hf_xet (1.8) has no errors of its own but RuntimeError."""


def push(config: Config, folder: Path) -> str:
    """Upload a finished run; return the repository's address.

    The repository is `training.hub_model_id`, or the run folder's name under the user's account.
    The token comes from HF_TOKEN or from `hf auth login`. What is uploaded is logged before.

    Raises:
        RunError: the Hub refused, or could not be reached; the run itself is whole.
    """
    files = {**model_files(folder), **_named(folder, _CARD_AND_SCORES)}
    adapter = folder / ADAPTER_FOLDER
    if adapter.is_dir() and not adapter.is_symlink():
        found = _named(adapter, _ADAPTER).items()
        files |= {f"{ADAPTER_FOLDER}/{name}": content for name, content in found}
    for part in config.hub.include:
        files |= _PARTS[part](folder)
    try:
        return _upload(config, folder, files, "Training run")
    except _FAILURES as error:
        raise RunError(
            f"the run in {folder} is whole, but was not uploaded to "
            f"{_repository(config, folder)}: {_reason(error, config)}.\n"
            "    The same command uploads it, and trains nothing again."
        ) from error


def push_checkpoint(config: Config, folder: Path, checkpoint: Path) -> None:
    """Upload the model of a checkpoint with `training.hub_strategy=every_save`.

    With an adapter that is not merged it is no model for others, and is not uploaded. That the Hub
    cannot be reached is a warning: the finished run is uploaded in any case.
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
    """Return model and tokenizer of a folder, name to file."""
    return _named(folder, _MODEL)


def _named(folder: Path, names: re.Pattern[str]) -> dict[str, bytes | Path]:
    """Return the files of a folder with such names; a link could lead anywhere, and is none."""
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
    # Rows of the data belong to the report.
    record.pop("examples", None)
    record.get("predictions", {}).pop("examples", None)
    if record.get("git"):
        record["git"] = {name: value for name, value in record["git"].items() if name != "diff"}
    text = json.dumps(tree_without_folders(record), indent=2, ensure_ascii=False)
    return {RUN_FILE: f"{text}\n".encode()}


_PARTS: dict[str, Callable[[Path], dict[str, bytes | Path]]] = {
    "report": _report,
    "predictions": _predictions,
    "config": _config,
    "record": _record,
}
"""What `hub.include` may ask for."""


def _upload(config: Config, folder: Path, files: Mapping[str, bytes | Path], message: str) -> str:
    api, training = HfApi(), config.training
    address = api.create_repo(
        _repository(config, folder), private=training.hub_private_repo, exist_ok=True
    )
    private = api.repo_info(address.repo_id).private
    if training.hub_private_repo and not private:
        # `create_repo` leaves one that is there as it is.
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
    """Log what is about to be uploaded, and who will see it."""
    sizes = {
        name: len(content) if isinstance(content, bytes) else content.stat().st_size
        for name, content in sorted(files.items())
    }
    seen = "private" if private else "public: everybody can read it"
    log.info("uploading to %s (%s)", address, seen)
    width = max(map(len, sizes), default=0)
    for name, size in sizes.items():
        log.info("  %-*s  %s", width, name, shown_size(size))


def _reason(error: Exception, config: Config) -> str:
    """Return why an upload failed, and what to do about it."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    revision = config.training.hub_revision
    if isinstance(error, RevisionNotFoundError):
        return f"it has no branch {revision} (training.hub_revision): make it on the Hub"
    if status == 401 or isinstance(error, LocalTokenNotFoundError):
        return "the Hub knows no valid token: set HF_TOKEN to one that may write there"
    if status == 403:
        return "the token may not write there: set HF_TOKEN to one that may"
    if status == 404:
        return "there is no such place: look at training.hub_model_id"
    if status is not None and status >= 500:
        return f"the Hub answered with {status}: try again later"
    text = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE is set: take it out of the environment"
    if isinstance(error, httpx2.TransportError):
        return f"{constants.ENDPOINT} cannot be reached ({text}): try again with a network"
    return text.rstrip(".")
