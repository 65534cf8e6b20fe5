"""Whether the Hugging Face libraries still understand their variables as summexp does."""

from __future__ import annotations

import os
import runpy
from pathlib import Path

import datasets
import pytest
from huggingface_hub import scan_cache_dir

from summexp.upstream.hf_environment import (
    datasets_is_offline,
    datasets_offline,
    hf_home,
    hub_cache,
    modules_cache,
    variables_of_caches,
)

NAMES = ("HF_HOME", "XDG_CACHE_HOME", "HF_HUB_CACHE", "HF_MODULES_CACHE", "HF_DATASETS_CACHE")


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"XDG_CACHE_HOME": "/other/cache"},
        {"XDG_CACHE_HOME": "/other/cache", "HF_HOME": "~/mine"},
        {"HF_HOME": "/mine", "HF_HUB_CACHE": "~/hub", "HF_MODULES_CACHE": "/code"},
    ],
)
def test_folders_are_where_the_libraries_look(
    given: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    # As each would read them in a new process.
    hub = runpy.run_module("huggingface_hub.constants")
    assert (str(hf_home()), str(hub_cache())) == (hub["HF_HOME"], hub["HF_HUB_CACHE"])
    for module in ("datasets.config", "evaluate.config"):
        assert str(modules_cache()) == str(runpy.run_module(module)["HF_MODULES_CACHE"]), module


def test_without_a_home_there_is_no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    assert hf_home() is hub_cache() is modules_cache() is None
    monkeypatch.setenv("HF_HUB_CACHE", "/hub")
    assert hub_cache() == Path("/hub")


def test_downloads_in_a_home_that_is_only_read_are_still_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        monkeypatch.delenv(name, raising=False)
    assert variables_of_caches(None) == ["HF_HOME"]
    assert variables_of_caches(tmp_path / "absent") == ["HF_HOME"]
    written = ["HF_DATASETS_CACHE", "HF_MODULES_CACHE"]
    assert variables_of_caches(tmp_path) == [*written, "HF_HUB_CACHE"]
    (tmp_path / "hub").mkdir()
    assert variables_of_caches(tmp_path) == written
    assert scan_cache_dir(tmp_path / "hub").repos == frozenset()
    monkeypatch.setenv("HF_DATASETS_CACHE", "/elsewhere")
    assert variables_of_caches(tmp_path) == written[1:]


def test_datasets_looks_its_offline_mode_up_at_each_download() -> None:
    before = datasets_is_offline()
    with datasets_offline(offline=True):
        assert datasets_is_offline()
        with pytest.raises(ConnectionError) as error:
            datasets.load_dataset("owner/absent")
        assert "offline" in str(error.value).lower(), "datasets asked the Hub all the same"
    assert datasets_is_offline() == before
    with datasets_offline(offline=False):
        assert datasets_is_offline() == before
