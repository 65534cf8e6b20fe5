"""Detection and redaction of secrets, which no config, log or report may show.

Tested in tests/test_check.py.
"""

from __future__ import annotations

import os
import re

SECRET_KEYS = frozenset(
    {"hub_token", "token", "hf_token", "wandb_api_key", "api_key", "password", "use_auth_token"}
    | {"push_to_hub_token", "hugging_face_hub_token", "huggingface_hub_token"}
)
"""Last parts of keys whose values are secrets."""

SECRET_VARIABLES = (
    "HF_TOKEN",
    "HUGGING_FACE_HUB_TOKEN",
    "HUGGINGFACE_HUB_TOKEN",
    "WANDB_API_KEY",
)
"""Environment variables whose values must not reach a config, a log or a report."""

_SHORTEST_SECRET = 6
_TOKEN = re.compile(
    r"\bhf_[A-Za-z0-9]{16,}\b|\bapi_org_[A-Za-z0-9]{16,}\b|\bwandb_v\d_[A-Za-z0-9_]{16,}"
)
_FROM_ENVIRONMENT = re.compile(rf"oc\.env\s*:\s*['\"]?({'|'.join(SECRET_VARIABLES)})\b")


def looks_secret(text: str) -> bool:
    """Return whether `text` contains a token, or the value or name of a secret variable."""
    return bool(_TOKEN.search(text) or _FROM_ENVIRONMENT.search(text)) or any(
        value in text for value in _secret_values()
    )


def without_secrets(text: str) -> str:
    """Return `text` with every token and every value of a secret variable redacted."""
    for value in _secret_values():
        text = text.replace(value, "(a secret)")
    return _TOKEN.sub("(a secret)", text)


def is_secret_key(key: str) -> bool:
    """Return whether the values of a key with this name are secrets."""
    return key.rsplit(".", 1)[-1].lower().replace("-", "_") in SECRET_KEYS


def _secret_values() -> list[str]:
    values = (os.environ.get(name, "") for name in SECRET_VARIABLES)
    return [value for value in values if len(value) >= _SHORTEST_SECRET]
