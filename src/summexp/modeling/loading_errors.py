"""Errors of loading models and tokenizers, as readable problems.

Tested in tests/integration/test_choices.py.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError

from huggingface_hub import is_offline_mode
from huggingface_hub.errors import StrictDataclassError
from safetensors import SafetensorError

from summexp.errors import ConfigError

_CORRUPT = (SafetensorError, UnpicklingError, StrictDataclassError, TypeError)
"""Exceptions for a corrupt file, or one of another format."""


@contextmanager
def loading(key: str, name: str) -> Iterator[None]:
    """Turn what goes wrong while `name` is loaded into a `ConfigError` about `key`."""
    try:
        yield
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, *_CORRUPT) as error:
        first = next((line for line in str(error).splitlines() if line.strip()), repr(error))
        raise ConfigError.of(
            key=key, what=f"{name!r} cannot be loaded: {first}", hint=_hint(name, error)
        ) from error


def _hint(name: str, error: Exception) -> str | None:
    text = str(error)
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EROFS, errno.ENOSPC):
        return "Set HF_HOME, the folder of downloads, to a writable folder."
    if Path(name).is_dir():
        return "The folder must hold config.json, the weights and the tokenizer."
    if is_offline_mode():
        return (
            "The run is offline, by offline=true or by HF_HUB_OFFLINE in the environment: name a "
            "local folder, or run once with the network."
        )
    if "gated" in text or "401" in text or "403" in text:
        return "Ask for access on the model's page, and set HF_TOKEN in the environment."
    if "connect" in text.lower() or "resolve" in text.lower() or "Max retries" in text:
        return "Cannot reach the Hub. Name a local folder, or try model.init=random."
    return None
