"""How a run is watched and debugged: the `tracking` and `debug` groups of the config."""

from __future__ import annotations

from dataclasses import dataclass, field

from summexp.errors import ConfigError, Problem, nearest
from summexp.options import choice

TRACKERS = ("tensorboard", "wandb")
"""The experiment trackers that can be chosen."""


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
        unknown = [name for name in self.trackers if name not in TRACKERS]
        if unknown:
            raise ConfigError(
                [
                    Problem(
                        key="tracking.trackers",
                        what=f"there is no tracker {name!r}",
                        hint=nearest(name, TRACKERS) or f"There are {' and '.join(TRACKERS)}.",
                    )
                    for name in unknown
                ]
            )


@dataclass(kw_only=True)
class DebugConfig:
    """Ways of running that are for finding mistakes."""

    name: str = choice("none", "none", "tiny", "max_samples_50", "overfit", "profile")
    """The choice that was made."""
    tiny: bool = False
    """Shrink the model to a toy with random weights, and stand in for a Hub dataset with made-up
    rows; nothing is downloaded or taken from a cache."""
    overfit: bool = False
    """Evaluate on the training rows, to see whether the model can learn them by heart."""
    profile: bool = False
    """Profile a few training steps into `profile/` in the run folder."""
    detect_anomaly: bool = False
    """Stop at the operation whose gradient is not finite. Slow."""
