"""The old scripts, and how a word names one of them.

Tested in tests/migrate/test_command.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from pathlib import PurePath

from summexp.errors import ConfigError, nearest
from summexp.migrate.flags import Script

_SCRIPTS = {
    "run_summarization": Script.TRAINER,
    "run_summarization_no_trainer": Script.NO_TRAINER,
    "run_tf_summarization": Script.TENSORFLOW,
}


def script_of(word: str) -> Script | None:
    """Return the script that a word names, as a path or as a module, or None."""
    name = word.replace("\\", "/")
    stem = PurePath(name).name.removesuffix(".py")
    stem = stem if name.endswith(".py") else stem.rsplit(".", 1)[-1]
    script = _SCRIPTS.get(stem)
    if script is Script.TRAINER and re.search(r"(^|[/.])tensorflow[/.]", name):
        return Script.TENSORFLOW
    return script


def script_index(words: Sequence[str]) -> int | None:
    """Return the index of the first word that names one of the scripts, or None."""
    return next((at for at, word in enumerate(words) if script_of(word)), None)


def mentions_script(text: str) -> bool:
    """Return whether the name of one of the scripts occurs anywhere in a text."""
    return any(name in text for name in _SCRIPTS)


def no_script_error(words: Iterable[str]) -> ConfigError:
    """Return the error for a text that calls none of the scripts."""
    scripts = [f"{stem}.py" for stem in _SCRIPTS]
    named = [PurePath(word).name for word in words if word.endswith(".py")]
    near = next(filter(None, (nearest(name, scripts) for name in named)), None)
    if "run_summarization_flax.py" in named:
        near = "The Flax script has no counterpart; its PyTorch command does."
    elif near is None and "train.py" in named:
        near = "train.py is the new one already."
    what = "no command of the summarization scripts found"
    hint = "They are run_summarization.py and run_summarization_no_trainer.py."
    return ConfigError.of(what=what, hint=" ".join(filter(None, (near, hint))))
