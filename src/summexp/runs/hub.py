"""`training.push_to_hub`: the finished run as a model repository on the Hub."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub import HfApi
from huggingface_hub.errors import HfHubHTTPError

from summexp.errors import RunError

if TYPE_CHECKING:
    from summexp.config.schema import Config

log = logging.getLogger(__name__)

_NOT_PUSHED = ["checkpoint-*", "tracking/*", "profile/*", ".*", "train.log"]
"""What belongs to this machine: checkpoints, trackers, logs and bookkeeping."""


def push(config: Config, folder: Path) -> str:
    """Upload model, tokenizer, card, report and scores; return the repository's address.

    The repository is `training.hub_model_id`, or the run folder's name under the user's account.
    The token comes from HF_TOKEN or from `hf auth login`.

    Raises:
        RunError: the Hub refused, or could not be reached; the run itself is whole.
    """
    api = HfApi()
    training = config.training
    name = training.hub_model_id or folder.name
    try:
        address = api.create_repo(name, private=training.hub_private_repo, exist_ok=True)
        api.upload_folder(
            repo_id=address.repo_id,
            folder_path=folder,
            revision=training.hub_revision,
            commit_message="Training run",
            ignore_patterns=_NOT_PUSHED,
        )
    except (HfHubHTTPError, OSError) as error:
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RunError(
            f"the run is whole in {folder}, but could not be pushed to {name!r}: {first}\n"
            "    Set HF_TOKEN to a token that may write there, and run the same command again."
        ) from error
    log.info("pushed to %s", address)
    return str(address)
