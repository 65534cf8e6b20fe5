"""Every file of `conf/model`: its voice, its keys, and the shape it gives to random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import DictConfig, OmegaConf
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from summexp.config.schema import SECTIONS
from summexp.modeling.architecture import is_decoder_only
from summexp.modeling.config import ModelConfig

CONF = Path(__file__).resolve().parents[2] / "conf"
CUSTOM = CONF / "model" / "custom.yaml"
"""Names no model, and leaves everything to whoever does."""
FILES = sorted({*(CONF / "model").rglob("*.yaml")} - {CUSTOM})
OURS = {"t5_tiny"}
"""Shapes that are ours, so that nothing was published about them."""

PUBLISHED = {
    "t5_small": (60.5, False),
    "t5_base": (222.9, False),
    "t5_large": (737.7, False),
    "flan_t5_small": (77.0, True),
    "flan_t5_base": (247.6, True),
    "mt5_small": (300.2, True),
    "bart_base": (139.4, False),
    "bart_large_cnn": (406.3, False),
    "mbart50": (610.9, False),
    "pegasus_xsum": (568.0, False),
    "pegasus_cnn_dailymail": (568.0, False),
    "led_base_16384": (161.8, False),
    "long_t5_tglobal_base": (247.6, True),
    "gpt2": (124.4, False),
    "smollm2_135m": (134.5, False),
    "qwen3_0_6b_base": (596.0, False),
}
"""Millions of parameters of the checkpoint, and whether it has an output layer of its own.

Configs of the T5 1.1 family always share the output layer with the embeddings in transformers 5,
and only loading a checkpoint parts the two: random weights lack one matrix of vocabulary times
width.
"""


def each_file(test: Any) -> Any:
    return pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)(test)


def load(path: Path) -> DictConfig:
    choice = OmegaConf.load(path)
    assert isinstance(choice, DictConfig)
    return choice


def architecture(path: Path) -> dict[str, Any]:
    fields = OmegaConf.to_container(load(path).model.architecture)
    assert isinstance(fields, dict)
    return {str(key): value for key, value in fields.items()}


def test_any_other_model_presumes_nothing() -> None:
    assert load(CUSTOM) == {"model": {}}


def test_every_published_model_has_its_file() -> None:
    assert {path.stem for path in FILES} - OURS == set(PUBLISHED)


@each_file
def test_header_describes_what_the_file_is_and_how_to_use_it(path: Path) -> None:
    first, second, *rest = path.read_text(encoding="utf-8").splitlines()
    assert first == "# @package _global_"
    assert second.startswith("# ")
    assert "python train.py" not in second
    commands = [line for line in rest if line.startswith("# python train.py ")]
    assert any(f"model={path.stem}" in line.split() for line in commands)


@each_file
def test_values_fit_the_typed_schema(path: Path) -> None:
    choice = load(path)
    assert set(choice) <= {"model", "training", "generation"}
    for section, values in choice.items():
        OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(SECTIONS[str(section)]), values))


@each_file
def test_prefix_belongs_to_the_models_that_were_trained_with_one(path: Path) -> None:
    model = OmegaConf.merge(OmegaConf.structured(ModelConfig), load(path).model)
    if path.stem in PUBLISHED:
        expected = "summarize: " if model.architecture.model_type == "t5" else None
        assert model.source_prefix == expected


def test_mbart_summarizes_in_the_language_of_the_document() -> None:
    choice = load(CONF / "model" / "mbart50.yaml")
    choice.model.lang = "ko_KR"
    assert choice.model.forced_bos_token == "ko_KR"


@each_file
def test_architecture_holds_only_what_differs_from_the_config_class(path: Path) -> None:
    fields = architecture(path)
    defaults = CONFIG_MAPPING[fields.pop("model_type")]().to_dict()
    assert set(fields) <= set(defaults)
    assert [key for key, value in fields.items() if defaults[key] == value] == []


@each_file
def test_architecture_survives_the_config_class(path: Path) -> None:
    fields = architecture(path)
    family = CONFIG_MAPPING[fields["model_type"]]
    saved = family(**{key: value for key, value in fields.items() if key != "model_type"}).to_dict()
    assert {key: saved[key] for key in fields} == fields
    assert family.from_dict(saved).to_dict() == saved


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_random_model_has_the_size_of_the_published_one(name: str) -> None:
    fields = architecture(CONF / "model" / f"{name}.yaml")
    config = CONFIG_MAPPING[fields.pop("model_type")](**fields)
    with torch.device("meta"):
        kind = AutoModelForCausalLM if is_decoder_only(config) else AutoModelForSeq2SeqLM
        model = kind.from_config(config)
    published, own_output_layer = PUBLISHED[name]
    millions = model.num_parameters() / 1e6
    if own_output_layer:
        millions += config.vocab_size * config.d_model / 1e6
    assert millions == pytest.approx(published, rel=0.02)
