"""The environment of all tests, and of every process that they start: the same on any machine.

What the user's shell, a cluster or a CI sets (offline switches, tokens, proxies, threads, ranks,
locale, width of the terminal) would change what is tested, so only what finds programs, libraries
and devices is kept. A test that is about a variable sets it.
"""

from __future__ import annotations

import gc
import os
import re
import tempfile

import pytest

_KEPT = re.compile(
    r"PATH|LD_.*|DYLD_.*|SYSTEMROOT|TMPDIR|TEMP|TMP|USER|LOGNAME|VIRTUAL_ENV|"
    r"PYTHON(HOME|PATH|DONTWRITEBYTECODE|PYCACHEPREFIX)|PYTEST.*|COV_.*|COVERAGE_.*|"
    r"CC|CXX|CUDA_.*|NVIDIA_.*|NCCL_.*|GLOO_.*|PARITY_.*|SUMMEXP_PYTHON"
)


def pytest_configure(config: pytest.Config) -> None:
    """Set the environment, before a test imports torch, which reads the number of threads."""
    if hasattr(config, "workerinput"):
        # A worker of pytest-xdist inherits it.
        return
    # The user's caches and settings (of git, wandb, the Hub) are neither read nor written.
    home = tempfile.TemporaryDirectory(prefix="summexp-tests-", ignore_cleanup_errors=True)
    config.add_cleanup(home.cleanup)
    kept = {name: value for name, value in os.environ.items() if _KEPT.fullmatch(name)}
    os.environ.clear()
    # One thread: the same sums in the same order on any machine, and no contention where several
    # tests share the cores.
    os.environ.update(kept, HOME=home.name, OMP_NUM_THREADS="1")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take longest, so that no worker waits for another at the end."""
    items.sort(key=lambda item: "integration" not in item.path.parts)


def pytest_collection_finish() -> None:
    """Leave what the tests have imported out of garbage collection.

    A Trainer collects garbage as it begins, and to look through all of that takes longer than to
    train a tiny model.
    """
    gc.collect()
    gc.freeze()
