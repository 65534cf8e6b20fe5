"""Trackers of `--report_to`: those supported here, and the others.

Tested in tests/migrate/test_flags.py.
"""

from __future__ import annotations

import re

from summexp.config.run import TRACKERS
from summexp.migrate.flags import Settings


def trackers(names: list[str]) -> Settings:
    """Return the supported trackers that `--report_to` names; `all` is every one of them."""
    words = [word for name in names for word in re.split(r"[\s,]+", name) if word]
    if "all" in words:
        return {"tracking.trackers": list(TRACKERS)}
    return {"tracking.trackers": [word for word in words if word in TRACKERS]}


def others(names: list[str]) -> list[str]:
    """Return the trackers that `--report_to` names and that are not supported."""
    words = [word for name in names for word in re.split(r"[\s,]+", name) if word]
    return [word for word in words if word not in (*TRACKERS, "all", "none")]
