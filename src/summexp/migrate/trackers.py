"""What `--report_to` named, and what of it there is here."""

from __future__ import annotations

import re

from summexp.config.run import TRACKERS
from summexp.migrate.flags import Settings


def trackers(names: list[str]) -> Settings:
    """Return the trackers that `--report_to` means; `all` is every one that there is."""
    words = [word for name in names for word in re.split(r"[\s,]+", name) if word]
    if "all" in words:
        return {"tracking.trackers": list(TRACKERS)}
    return {"tracking.trackers": [word for word in words if word in TRACKERS]}


def others(names: list[str]) -> list[str]:
    """Return the trackers that `--report_to` named and that cannot be chosen here."""
    words = [word for name in names for word in re.split(r"[\s,]+", name) if word]
    return [word for word in words if word not in (*TRACKERS, "all", "none")]
