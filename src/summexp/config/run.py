"""Config groups `tracking`, `debug` and `hub`.

Tested in tests/config/test_typed.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from summexp.errors import ConfigError, Problem, nearest
from summexp.options import choice

TRACKERS = ("tensorboard", "wandb")
"""The experiment trackers that can be chosen."""

UPLOADS = ("report", "predictions", "config", "record")
"""Possible values of `hub.include`."""


@dataclass(kw_only=True)
class TrackingConfig:
    """Experiment trackers that receive curves and scores during the run."""

    trackers: list[str] = field(default_factory=list)
    """Any of `tensorboard` and `wandb`; no tracker if empty."""
    project: str = "summexp"
    """Project of the run at the tracker."""
    run_name: str | None = None
    """Name of the run at the tracker; the run folder's name if not set."""
    tags: list[str] = field(default_factory=list)
    """Tags of the run at the tracker."""

    def __post_init__(self) -> None:
        _check_names("tracking.trackers", "tracker", self.trackers, TRACKERS)


@dataclass(kw_only=True)
class HubConfig:
    """Files that `training.push_to_hub` uploads beside model, tokenizer, model card and scores."""

    include: list[str] = field(default_factory=list)
    """Any of `report` (it shows rows of the data), `predictions` (with the references), `config`
    and `record` (run.json); local paths and the git diff are removed."""

    def __post_init__(self) -> None:
        _check_names("hub.include", "part of a run", self.include, UPLOADS)


@dataclass(kw_only=True)
class DebugConfig:
    """Debug modes."""

    name: str = choice("none", "none", "tiny", "max_samples_50", "overfit", "profile")
    """Name of the choice."""
    tiny: bool = False
    """Use a tiny model with random weights, and synthetic rows in place of a Hub dataset; nothing
    is downloaded or read from a cache."""
    overfit: bool = False
    """Evaluate on the training rows, to see whether the model can overfit them."""
    profile: bool = False
    """Profile a few training steps into `profile/` in the run folder."""
    detect_anomaly: bool = False
    """Stop at the operation whose gradient is not finite (autograd's anomaly mode). Slow."""


def _check_names(key: str, kind: str, names: list[str], known: tuple[str, ...]) -> None:
    problems = [
        Problem(
            key=key,
            what=f"there is no {kind} {name!r}",
            hint=nearest(name, known) or f"There are {', '.join(known[:-1])} and {known[-1]}.",
        )
        for name in names
        if name not in known
    ]
    if problems:
        raise ConfigError(problems)
