"""What is set before the libraries are imported that read it."""

from __future__ import annotations

import os
import runpy
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace

import pytest

from summexp.check import check
from summexp.command_line import parse
from summexp.config.schema import Config
from summexp.distributed.config import HardwareConfig
from summexp.errors import RunError
from summexp.modeling.config import ModelConfig
from summexp.runs.process_environment import cache_dir, prepare

_SWITCHES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE", "HF_EVALUATE_OFFLINE")
_READ = ("USE_TORCH_XLA", "PJRT_DEVICE", "CPU_NUM_DEVICES")


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "environ", {"PATH": os.environ["PATH"]})
    monkeypatch.delitem(sys.modules, "accelerate.utils.imports", raising=False)


@cache
def default_config() -> Config:
    return check(parse([]))[0].config


def prepared(**hardware: object) -> list[str | None]:
    """Return what is set for a run on `hardware`."""
    config = default_config()
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
    with pytest.raises(RunError, match="run it in a separate sweep"):
        prepared(backend=backend)
    other = {True: "xla", False: "cpu"}[taken]
    assert prepared(backend=other)[0] == str(int(taken))


@pytest.mark.parametrize("value", ["1", "ON", "on", "Yes", "TRUE", "true", "0", "no", "", None])
@pytest.mark.parametrize("name", _SWITCHES)
def test_what_the_user_switched_off_stays_off_for_every_job(
    name: str, value: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The libraries read the variables at import; later jobs must not change what they read."""
    places = [
        ("huggingface_hub.constants", "HF_HUB_OFFLINE"),
        ("datasets.config", "HF_HUB_OFFLINE"),
        ("evaluate.config", "HF_EVALUATE_OFFLINE"),
    ]
    for module, attribute in places:
        monkeypatch.setattr(import_module(module), attribute, False)
    if value is not None:
        os.environ[name] = value
    given = {one: os.environ.get(one) for one in _SWITCHES}
    config = default_config()
    seen = []
    for offline in (False, True, False, False):
        prepare(replace(config, offline=offline))
        seen.append([getattr(import_module(module), attribute) for module, attribute in places])
    # What each library would read in a process of its own.
    fresh = [runpy.run_module(module)[attribute] for module, attribute in places]
    assert seen == [fresh, [True] * 3, fresh, fresh]
    assert {one: os.environ.get(one) for one in _SWITCHES} == given


def as_nobody(home: str | None, check: Callable[[], bool]) -> bool:
    """Return what `check` returns in a process of another user with this home."""
    child = os.fork()
    if not child:
        os.setgroups([])
        os.setgid(54321)
        os.setuid(54321)
        for name in ("HOME", "XDG_CACHE_HOME", "HF_HOME", "SUMMEXP_CACHE"):
            os.environ.pop(name, None)
        if home is not None:
            os.environ["HOME"] = home
        os._exit(0 if check() else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.skipif(not os.path.ismount("/proc"), reason="needs a folder that nobody writes to")
def test_a_rank_keeps_the_caches_of_its_parent_and_is_silent(
    caplog: pytest.LogCaptureFixture,
) -> None:
    os.environ["HF_HOME"] = "/proc"
    config = default_config()
    config = replace(config, model=ModelConfig(name_or_path="owner/model"))
    prepare(config)
    placed = dict(os.environ)
    assert Path(placed["HF_DATASETS_CACHE"]).parent.is_dir()
    # A rank has the environment of the process that started it.
    prepare(config)
    assert dict(os.environ) == placed
    assert [one for one in caplog.messages if "not cached" in one] == [
        "downloads are not cached: /proc is not writable; set HF_HOME to a folder"
    ]


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_the_home_of_another_user_holds_no_cache(tmp_path: Path) -> None:
    (tmp_path / ".cache" / "huggingface").mkdir(parents=True)
    tmp_path.chmod(0o700)

    (job,) = check(parse(["hardware=cpu"]))

    def moves_the_hub() -> bool:
        prepare(job.config)
        return Path(os.environ["HF_HOME"]).parent.name.startswith("summexp-hf-")

    assert as_nobody(str(tmp_path), moves_the_hub)
    assert as_nobody(None, moves_the_hub)
    assert as_nobody(None, lambda: cache_dir() is None)
    assert as_nobody(str(tmp_path), lambda: cache_dir() == tmp_path / ".cache" / "summexp")
