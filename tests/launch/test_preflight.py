from __future__ import annotations

import pytest

from summexp.engines.training_schema import TrainingConfig
from summexp.launch import preflight
from summexp.launch.config import HardwareConfig


def keys(backend: str, **training: bool) -> list[str | None]:
    hardware, options = HardwareConfig(backend=backend), TrainingConfig(**training)
    return [problem.key for problem in preflight.check_hardware(hardware, options)]


@pytest.fixture
def no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "has_gpu", lambda: False)
    monkeypatch.setattr(preflight, "is_apple", lambda: False)


@pytest.mark.usefixtures("no_gpu")
def test_a_machine_without_gpu() -> None:
    assert keys("auto") == []
    assert keys("cpu", bf16=True) == []
    assert keys("cuda") == ["hardware.backend"]
    assert keys("mps") == ["hardware.backend"]
    assert keys("auto", fp16=True, tf32=True) == ["training.fp16", "training.tf32"]
    assert keys("cuda", fp16=True) == ["hardware.backend", "training.fp16"]


def test_a_machine_with_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preflight, "has_gpu", lambda: True)
    assert keys("auto", fp16=True) == []
    assert keys("cuda", fp16=True, tf32=True) == []
    assert keys("cpu", fp16=True) == ["training.fp16"]
