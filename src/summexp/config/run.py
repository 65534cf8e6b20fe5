"""How a run is watched, debugged and published: `tracking`, `debug` and `hub` of the config.

Tested in tests/config/test_typed.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from summexp.errors import ConfigError, Problem, nearest
from summexp.options import choice

TRACKERS = ("tensorboard", "wandb")
"""The experiment trackers that can be chosen."""

UPLOADS = ("report", "predictions", "config", "record")
"""What can be uploaded to the Hub beside the model."""


@dataclass(kw_only=True)
class TrackingConfig:
    """Where curves and scores are sent while the run goes on."""

    trackers: list[str] = field(default_factory=list)
    """Any of `tensorboard` and `wandb`; none where empty."""
    project: str = "summexp"
    """Project that the tracker files the run under."""
    run_name: str | None = None
    """Name of the run at the tracker; the run folder's name where not set."""
    tags: list[str] = field(default_factory=list)
    """Labels of the run at the tracker."""

    def __post_init__(self) -> None:
        _check_names("tracking.trackers", "tracker", self.trackers, TRACKERS)


@dataclass(kw_only=True)
class HubConfig:
    """What `training.push_to_hub` uploads beside the model, its tokenizer, card and scores."""

    include: list[str] = field(default_factory=list)
    """Any of `report` (it shows rows of the data), `predictions` (with the references), `config`
    and `record` (run.json); without this machine's folders and without the git diff."""

    def __post_init__(self) -> None:
        _check_names("hub.include", "part of a run", self.include, UPLOADS)


@dataclass(kw_only=True)
class DebugConfig:
    """Ways of running that are for finding mistakes."""

    name: str = choice("none", "none", "tiny", "max_samples_50", "overfit", "profile")
    """The choice that was made."""
    tiny: bool = False
    """Shrink the model, with random weights, and stand in for a Hub dataset with made-up
    rows; nothing is downloaded or taken from a cache."""
    overfit: bool = False
    """Evaluate on the training rows, to see whether the model can learn them by heart."""
    profile: bool = False
    """Profile a few training steps into `profile/` in the run folder."""
    detect_anomaly: bool = False
    """Stop at the operation whose gradient is not finite. Slow."""


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
