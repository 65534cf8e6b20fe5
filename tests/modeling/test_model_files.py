"""A model's folder is looked through without torch, file by file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.mistakes import make_model, spoilt_models
from tests.modeling.tiny_models import config as tiny_config
from tests.modeling.tiny_models import make

from summexp.modeling.config import ModelConfig
from summexp.modeling.model_checks import check_model


def reported(folder: Path, **options: str) -> list[tuple[str | None, str]]:
    config = ModelConfig(name_or_path=str(folder), **options)
    return [(one.key, one.what) for one in check_model(config, offline=True)]


def test_what_save_pretrained_writes_is_complete(tmp_path: Path) -> None:
    tiny = make(tiny_config("t5"))
    tiny.model.save_pretrained(tmp_path / "model")
    tiny.tokenizer.save_pretrained(tmp_path / "model")
    assert reported(tmp_path / "model") == []
    tiny.model.save_pretrained(tmp_path / "shards", max_shard_size="20KB")
    tiny.tokenizer.save_pretrained(tmp_path / "shards")
    assert (tmp_path / "shards" / "model.safetensors.index.json").is_file()
    assert reported(tmp_path / "shards") == []
    (tmp_path / "model" / "model.safetensors").unlink()
    torch.save(tiny.model.state_dict(), tmp_path / "model" / "pytorch_model.bin")
    assert reported(tmp_path / "model") == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("no_config", "holds no config.json"),
        ("no_type", "has no model_type"),
        ("no_weights", "holds no weights"),
        ("no_tokenizer", "holds no tokenizer"),
        ("no_shard", "lacks model-00002-of-00002.safetensors of the 2 weight files"),
        ("cut", "model.safetensors is corrupt or truncated: "),
        ("empty", "model.safetensors is empty (zero bytes)"),
        ("pointer", "model.safetensors is a git-lfs pointer"),
        ("page", "model.safetensors is an HTML page"),
        ("cut_bin", "pytorch_model.bin is corrupt or truncated: "),
        ("cut_tokenizer", "tokenizer.json is corrupt or truncated: it is not JSON"),
        ("cut_config", "config.json is corrupt or truncated: it is not JSON"),
    ],
)
def test_what_is_wrong_with_a_folder(name: str, words: str, tmp_path: Path) -> None:
    make_model(tmp_path / name)
    assert reported(tmp_path / name) == []
    spoilt_models()[name](tmp_path / name)
    ((key, what),) = reported(tmp_path / name)
    assert key == "model.name_or_path"
    assert words in what


@pytest.mark.parametrize(
    "spoil",
    [
        lambda folder: (folder / "tokenizer.json").write_text("[]"),
        lambda folder: (folder / "tokenizer.json").write_text("{}"),
        lambda folder: (folder / "tokenizer_config.json").write_text("{"),
        lambda folder: (folder / "tokenizer.json").rename(folder / "spiece.model"),
        lambda folder: (folder / "config.json").write_bytes(b"\xff\xfe{}"),
        lambda folder: (folder / "config.json").write_text("[" * 100_000),
    ],
)
def test_files_of_another_kind(spoil: Callable[[Path], object], tmp_path: Path) -> None:
    make_model(tmp_path / "model")
    spoil(tmp_path / "model")
    assert [key for key, _ in reported(tmp_path / "model")] == ["model.name_or_path"]


def test_only_what_is_loaded_from_a_folder_is_looked_at(tmp_path: Path) -> None:
    for name in ("whole", *spoilt_models()):
        make_model(tmp_path / name)
    spoilt_models()["no_weights"](tmp_path / "no_weights")
    spoilt_models()["no_tokenizer"](tmp_path / "no_tokenizer")
    assert reported(tmp_path / "no_weights", init="random") == []
    assert reported(tmp_path / "no_tokenizer", tokenizer_name=str(tmp_path / "whole")) == []
    assert reported(tmp_path / "whole", tokenizer_name=str(tmp_path / "no_tokenizer")) == [
        ("model.tokenizer_name", f"{tmp_path / 'no_tokenizer'} holds no tokenizer")
    ]
    # A tokenizer of bytes has no vocabulary.
    (tmp_path / "no_tokenizer" / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "ByT5Tokenizer"}'
    )
    assert reported(tmp_path / "no_tokenizer") == []
