"""What is set before the libraries are imported that read it."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from types import SimpleNamespace

import pytest

from summexp.command_line import parse
from summexp.errors import RunError
from summexp.launch.config import HardwareConfig
from summexp.preflight import check
from summexp.runs.environment import prepare

_READ = ("USE_TORCH_XLA", "PJRT_DEVICE", "CPU_NUM_DEVICES")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    monkeypatch.delitem(sys.modules, "accelerate.utils.imports", raising=False)


def prepared(**hardware: object) -> list[str | None]:
    """Return what is set for a run on `hardware`."""
    config = check(parse([]))[0].config
    prepare(replace(config, hardware=HardwareConfig(**hardware)))  # type: ignore[arg-type]
    return [os.environ.get(name) for name in _READ]


def test_torch_xla_is_kept_away_unless_it_is_asked_for() -> None:
    assert prepared(backend="cpu") == ["0", None, None]
    assert prepared(backend="auto") == ["0", None, None]


def test_a_tpu_and_what_stands_in_for_it() -> None:
    assert prepared(backend="xla") == ["1", "TPU", None]
    os.environ["PJRT_DEVICE"] = "CPU"
    assert prepared(backend="xla") == ["1", "CPU", None]
    assert prepared(backend="xla", virtual_devices=4) == ["1", "CPU", "4"]


@pytest.mark.parametrize(("taken", "backend"), [(True, "cpu"), (False, "xla")])
def test_the_choice_of_an_earlier_job_stands(
    taken: bool, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = SimpleNamespace(is_torch_xla_available=lambda: taken)
    monkeypatch.setitem(sys.modules, "accelerate.utils.imports", found)
    with pytest.raises(RunError, match="give it a sweep of its own"):
        prepared(backend=backend)
    other = {True: "xla", False: "cpu"}[taken]
    assert prepared(backend=other)[0] == str(int(taken))
