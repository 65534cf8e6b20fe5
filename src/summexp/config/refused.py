"""Keys that are refused because a thing has one name, and what must never be written into a config."""

from __future__ import annotations

import os
import re

TRUE_NAMES = {
    "training.output_dir": "output_dir",
    "training.seed": "seed",
    "training.report_to": "tracking.trackers (or tracking=wandb)",
    "training.run_name": "tracking.run_name",
    "training.project": "tracking.project",
    "training.generation_max_length": "generation.max_length",
    "training.generation_num_beams": "generation.num_beams",
    "training.generation_config": "generation.* (one key for each setting)",
    "training.use_cpu": "hardware=cpu",
    "training.local_rank": "hardware",
    "training.disable_tqdm": "logging to a file, which shows no progress bar",
    "hydra.run.dir": "output_dir",
    "hydra.sweep.dir": "output_dir",
    "hydra.sweep.subdir": "output_dir",
}
"""Keys that exist upstream but are doubles here, each with the key that is the truth."""

SECRET_KEYS = frozenset(
    {"hub_token", "token", "hf_token", "wandb_api_key", "api_key", "password", "use_auth_token"}
    | {"push_to_hub_token"}
)
"""Last parts of the keys that would hold a secret."""

SECRET_VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "WANDB_API_KEY")
"""Environment variables whose values must not reach a config, a log or a report."""

_TOKEN = re.compile(r"\bhf_[A-Za-z0-9]{16,}\b|\bapi_org_[A-Za-z0-9]{16,}\b")


def looks_secret(text: str) -> bool:
    """Tell whether `text` holds a Hub token, or the value of one of the secret variables."""
    values = (os.environ.get(name, "") for name in SECRET_VARIABLES)
    return bool(_TOKEN.search(text)) or any(len(value) >= 8 and value in text for value in values)
