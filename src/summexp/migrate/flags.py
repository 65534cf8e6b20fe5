"""A flag of the old scripts: how its value was written, and its key here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Settings = Mapping[str, Any]
"""Config key to value. `hardware` names a choice; `tracking.trackers` may become one."""


class Script(Enum):
    """The supported scripts."""

    TRAINER = "run_summarization.py"
    NO_TRAINER = "run_summarization_no_trainer.py"
    TENSORFLOW = "run_summarization.py of examples/tensorflow"


class Kind(Enum):
    """How the value of a flag was written."""

    TEXT = "text"
    INT = "an integer"
    FLOAT = "a number"
    BOOL = "true or false, or nothing, which means true"
    """As HfArgumentParser takes it, with `--no_x` beside `--x` where true is the default."""
    SWITCH = "no value"
    """argparse's `store_true`."""
    TRUTHY = "text, of which anything but nothing means true"
    """argparse's `type=bool`."""
    TEXT_OR_BOOL = "text, or nothing, which means true"
    LIST = "one or more words"
    JSON = "JSON, or a JSON file"


@dataclass(frozen=True)
class Flag:
    """One flag of one script."""

    name: str
    """Without its dashes."""
    kind: Kind
    """How its value was written."""
    now: str
    """Its config key now, or words such as `hardware=cpu`; empty if it has none."""
    remark: str = ""
    """What changed beside the name, or why no key is needed; half a sentence."""
    default: Any = field(default=None, hash=False)
    """Its value if it was not given."""
    turn: Callable[[Any], Settings] | None = field(default=None, compare=False)
    """Function from a value to settings; None if these are the key and the value."""
    is_secret: bool = False
    """Whether its value is never printed."""

    def settings(self, value: Any) -> Settings:
        """Return the settings for a value, which may be none.

        Raises:
            ConfigError: the value is not supported.
        """
        if self.turn is not None:
            return self.turn(value)
        return {self.now: value} if self.now else {}

    @property
    def is_renamed(self) -> bool:
        """Return whether the key has another name than the flag."""
        section, _, last = self.now.partition(".")
        return bool(self.now) and self.name not in (self.now, last, f"{section}_{last}")


def fixed(**settings: Any) -> Callable[[Any], Settings]:
    """Return the function of a switch: `settings` if on, `section__name` for `section.name`."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return lambda value: named if value else {}


def json_value(text: str) -> Any:
    """Return the content of JSON text, or the text itself if it is the name of a file."""
    return json.loads(text) if text.lstrip().startswith(("{", "[")) else text
