from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import HfApi, RepoUrl

from summexp.command_line import parse
from summexp.config.schema import Config
from summexp.errors import ConfigError, RunError
from summexp.preflight import check
from summexp.runs.hub import push


def composed(*words: str) -> Config:
    return check(parse(list(words)))[0].config


def test_the_run_is_pushed_without_what_belongs_to_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: dict[str, Any] = {}

    def create_repo(_api: HfApi, name: str, **options: Any) -> RepoUrl:
        calls["create"] = (name, options["private"])
        return RepoUrl("https://huggingface.co/someone/mine")

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    monkeypatch.setattr(HfApi, "upload_folder", lambda _api, **given: calls.update(given))
    config = composed("training.push_to_hub=true", "training.hub_model_id=mine")
    assert push(config, tmp_path) == "https://huggingface.co/someone/mine"
    assert calls["create"] == ("mine", None)
    assert (calls["repo_id"], calls["folder_path"]) == ("someone/mine", tmp_path)
    assert {"checkpoint-*", "train.log", ".*"} <= set(calls["ignore_patterns"])


def test_a_refusal_is_told_and_the_run_is_said_to_be_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_repo(*_words: Any, **_options: Any) -> None:
        raise ConnectionError("no route to host")

    monkeypatch.setattr(HfApi, "create_repo", create_repo)
    config = composed("training.push_to_hub=true", "training.hub_model_id=mine")
    with pytest.raises(RunError, match=r"the run is whole .* no route to host"):
        push(config, tmp_path)


def test_a_fresh_folder_is_no_name_for_a_repository() -> None:
    with pytest.raises(ConfigError, match=r"training\.hub_model_id: is not set"):
        composed("training.push_to_hub=true")
    composed("training.push_to_hub=true", "output_dir=my-summarizer")
