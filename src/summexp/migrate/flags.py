"""What a flag of the old scripts was, and what it is here."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Any

Settings = Mapping[str, Any]
"""Config key to value. Beside keys there are `hardware`, which names a choice, and
`tracking.trackers`, for which a choice may stand."""


class Script(Enum):
    """The scripts whose commands are taken."""

    TRAINER = "run_summarization.py"
    NO_TRAINER = "run_summarization_no_trainer.py"
    TENSORFLOW = "run_summarization.py of examples/tensorflow"


class Kind(Enum):
    """How the value of a flag was written."""

    TEXT = "text"
    INT = "a whole number"
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
    """The config key that it is now, or words such as `hardware=cpu`; empty where it is nothing."""
    remark: str = ""
    """What changed beside the name, or why nothing is needed; half a sentence."""
    default: Any = field(default=None, hash=False)
    """What it was where the command did not have it."""
    turn: Callable[[Any], Settings] | None = field(default=None, compare=False)
    """Returns the settings that a value means, where these are not the key and the value."""
    is_secret: bool = False
    """Whether its value must not be printed."""

    def settings(self, value: Any) -> Settings:
        """Return the settings that `value` means; none where nothing is needed.

        Raises:
            ConfigError: the value means nothing here.
        """
        if self.turn is not None:
            return self.turn(value)
        return {self.now: value} if self.now else {}

    @property
    def is_renamed(self) -> bool:
        """Return whether someone who looks for the old name would not find it."""
        section, _, last = self.now.partition(".")
        return bool(self.now) and self.name not in (self.now, last, f"{section}_{last}")


def fixed(**settings: Any) -> Callable[[Any], Settings]:
    """Return what a switch does: `settings`, section and name parted by two underscores, if on."""
    named = {name.replace("__", "."): value for name, value in settings.items()}
    return lambda value: named if value else {}


def json_value(text: str) -> Any:
    """Return what JSON text holds, or the text itself where it is the name of a file."""
    return json.loads(text) if text.lstrip().startswith(("{", "[")) else text
