"""Environment variables of an old command: settings, secrets, or variables of the new one."""

from __future__ import annotations

from typing import Any

from summexp.config.secrets import looks_secret
from summexp.migrate.expansion import HIDDEN, is_secret_variable

_OFFLINE = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
_KEYS = {"WANDB_PROJECT": "tracking.project", "WANDB_NAME": "tracking.run_name"}
_RANKS = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE")
_SEARCHED = ("PATH", "LD_LIBRARY_PATH", "PYTHONPATH")
_TRUE = ("1", "true", "yes", "on")


def environment_settings(variables: dict[str, str]) -> tuple[dict[str, Any], list[str]]:
    """Remove settings, secrets and values of several lines from `variables`.

    The others stay in front of the new command.

    Returns:
        Settings, and remarks.
    """
    settings: dict[str, Any] = {}
    remarks = []
    for name, value in list(variables.items()):
        is_on = value.lower() in _TRUE
        if name in _OFFLINE:
            settings |= {"offline": True} if is_on else {}
            remarks += [f"{name}: offline=true, for Hub, datasets and trackers alike"] * is_on
        elif name in _KEYS:
            settings[_KEYS[name]] = value
            remarks.append(f"{name}: {_KEYS[name]} now")
        elif name == "WANDB_TAGS":
            settings["tracking.tags"] = [tag.strip() for tag in value.split(",") if tag.strip()]
            remarks.append(f"{name}: tracking.tags now")
        elif name == "WANDB_DISABLED":
            settings |= {"without": "wandb"} if is_on else {}
            remarks.append(f"{name}: not needed; wandb is used only with tracking=wandb")
        elif name == "TENSORBOARD_LOGGING_DIR":
            remarks.append(f"{name}: not needed; curves are in tracking/ of the run folder")
        elif name in _RANKS:
            remarks.append(f"{name}: left out; the launcher sets it")
        elif HIDDEN in value or is_secret_variable(name) or looks_secret(value):
            remarks.append(f"{name}: a secret, left out; export it before the new command")
        elif name in _SEARCHED:
            remarks.append(f"{name}: left out; export it before the new command if needed")
        elif "\n" in value:
            remarks.append(
                f"{name}: holds a line break, left out; export it before the new command"
            )
        else:
            continue
        del variables[name]
    return settings, remarks
