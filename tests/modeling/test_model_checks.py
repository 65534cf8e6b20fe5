from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.mistakes import make_model
from tests.modeling.tiny_models import config as tiny_config
from tests.modeling.tiny_models import make

from summexp.check import check
from summexp.command_line import parse
from summexp.errors import ConfigError
from summexp.modeling.adapters import save_adapter
from summexp.modeling.config import ModelConfig, PeftConfig
from summexp.modeling.model_builder import _pretrained
from summexp.modeling.model_checks import check_adapter, check_model, is_cached


def keys(*, offline: bool = False, **config: Any) -> list[str | None]:
    config.setdefault("name_or_path", "owner/name")
    return [problem.key for problem in check_model(ModelConfig(**config), offline=offline)]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    (tmp_path / "models--owner--name" / "snapshots" / "0123").mkdir(parents=True)
    return tmp_path


@pytest.mark.usefixtures("cache")
def test_offline_takes_only_what_was_downloaded() -> None:
    assert keys(offline=True) == []
    assert keys(offline=True, name_or_path="owner/other") == ["model.name_or_path"]
    assert keys(offline=True, tokenizer_name="owner/other") == ["model.tokenizer_name"]
    assert keys(name_or_path="owner/other") == []
    assert not is_cached("owner/name", cache_dir="elsewhere")


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    make_model(tmp_path / "my_model")
    assert keys(name_or_path=str(tmp_path / "my_model"), offline=True) == []
    wrong = ModelConfig(name_or_path=str(tmp_path / "my_modl"))
    (problem,) = check_model(wrong, offline=False)
    assert problem.hint == f"Did you mean '{tmp_path / 'my_model'}'?"
    assert keys(name_or_path="./absent") == ["model.name_or_path"]
    assert keys(name_or_path="~/absent") == ["model.name_or_path"]
    assert keys(name_or_path="my model") == ["model.name_or_path"]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The weights of a model with an adapter inside, and of one without."""
    folder = tmp_path_factory.mktemp("checkpoints")
    for name in ("lora", "none"):
        tiny = make(tiny_config("t5"), peft=PeftConfig(name=name))
        tiny.model.save_pretrained(folder / name)
        tiny.tokenizer.save_pretrained(folder / name)
        if name == "lora":
            save_adapter(tiny.model, folder / "adapter")
    return {name: folder / name for name in ("lora", "none", "adapter")}


def test_a_missing_package_is_reported_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [*check_adapter(PeftConfig(name="lora"), resume_from=None)] == []
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    (problem,) = check_adapter(PeftConfig(name="lora"), resume_from=None)
    assert problem.key == "peft.name"
    assert problem.hint is not None
    assert 'pip install -c constraints.txt -e ".[peft]"' in problem.hint
    assert [*check_adapter(PeftConfig(), resume_from=None)] == []


def test_an_attention_without_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    flash = {"attn_implementation": "flash_attention_2"}
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    assert keys(**flash) == ["model.attn_implementation"]
    assert keys(attn_implementation="sdpa") == []
    for module in ("kernels", "flash_attn"):
        monkeypatch.setattr(
            "importlib.util.find_spec", lambda name, has=module: name == has or None
        )
        assert keys(**flash) == []


def test_a_checkpoint_and_the_run_must_agree_on_the_adapter(checkpoints: dict[str, Path]) -> None:
    for chosen in ("lora", "none"):
        for name in ("lora", "none"):
            found = check_adapter(PeftConfig(name=chosen), resume_from=str(checkpoints[name]))
            wrong = [problem.key for problem in found]
            assert wrong == ([] if chosen == name else ["training.resume_from_checkpoint"])


def test_what_is_no_complete_model_is_rejected_as_one(checkpoints: dict[str, Path]) -> None:
    def words(name: str) -> str:
        chosen = ModelConfig(name_or_path=str(checkpoints[name]))
        return " ".join(problem.what for problem in check_model(chosen, offline=False))

    assert words("none") == ""
    assert words("lora").endswith("is a checkpoint of peft=lora, whose adapter is not merged")
    assert words("adapter").endswith("holds an adapter without its model")


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["model.freeze=[embeddings]"], "model.freeze"),
        (["model.freeze=[encoder,decoder]"], "model.freeze"),
        (["peft.bias=some"], "peft.bias"),
        (["peft.rank=0"], "peft.rank"),
        (["peft.r=4"], "peft.r"),
        (["model.freeze=[encoder]"], None),
        (["model.freeze=[embeddings]", "peft.modules_to_save=[final_layer_norm]"], None),
    ],
)
def test_what_makes_no_sense_with_an_adapter(words: list[str], key: str | None) -> None:
    command = parse(["peft=lora", *words])
    if key is None:
        assert len(check(command)) == 1
        return
    with pytest.raises(ConfigError) as caught:
        check(command)
    assert [problem.key for problem in caught.value.problems] == [key]


@pytest.mark.parametrize("shard", ["../secret/model.safetensors", "/etc/passwd", "..", 3, None])
def test_an_index_takes_no_weights_from_elsewhere(shard: object, tmp_path: Path) -> None:
    tiny = make(tiny_config("t5"))
    tiny.model.save_pretrained(tmp_path, max_shard_size="20KB")
    tiny.tokenizer.save_pretrained(tmp_path)
    path = tmp_path / "model.safetensors.index.json"
    index = json.loads(path.read_text())
    assert keys(name_or_path=str(tmp_path)) == []
    index["weight_map"]["shared.weight"] = shard
    path.write_text(json.dumps(index))
    chosen = ModelConfig(name_or_path=str(tmp_path))
    (problem,) = check_model(chosen, offline=False)
    assert problem.key == "model.name_or_path"
    assert f"names the shard {shard!r}" in problem.what
    with pytest.raises(ConfigError, match="names the shard"):
        _pretrained(chosen, tiny.model.config)
