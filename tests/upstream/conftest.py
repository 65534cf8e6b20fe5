"""A canary that fails names the module to look at, whichever way it fails."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import version

import pytest

LIBRARIES = {
    "test_accelerate": "accelerate",
    "test_datasets": "datasets",
    "test_deepspeed": "deepspeed",
    "test_hydra": "hydra-core",
    "test_omegaconf": "omegaconf",
    "test_peft": "peft",
    "test_torch": "torch",
    "test_transformers": "transformers",
    "test_transformers_errors": "transformers",
    "test_transformers_trainer": "transformers",
}
"""Test file to the library whose names it is about."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Iterator[None]:
    report = yield
    name = item.path.stem
    if report.failed and name in LIBRARIES:
        library, module = LIBRARIES[name], name.removeprefix("test_")
        report.sections.append(
            (
                "what to do",
                f"{library} {version(library)} may have changed what summexp leans on: see whether "
                f"src/summexp/upstream/{module}.py still does what its docstrings say. If it must "
                f"stay as it is, lower the pin of {library} in pyproject.toml.",
            )
        )
    return report
