from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
from transformers import (
    BartConfig,
    BertConfig,
    EncoderDecoderConfig,
    LEDConfig,
    T5Config,
    VisionEncoderDecoderConfig,
    WhisperConfig,
)

from summexp.errors import ConfigError
from summexp.modeling.architecture import (
    TINY_VOCABULARY,
    architecture,
    dropout_fields,
    parts_of,
    prefix_left_out,
    vocabulary_size,
)
from summexp.modeling.config import ModelConfig


def random(**fields: Any) -> ModelConfig:
    return ModelConfig(init="random", architecture=fields)


def rejection(config: ModelConfig, *, tiny: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        architecture(config, tiny=tiny)
    return str(caught.value)


def test_random_shape_is_what_was_asked_for() -> None:
    shape = architecture(
        random(model_type="t5", d_model=48, num_layers=3, feed_forward_proj="gated-gelu"),
        tiny=False,
    )
    assert isinstance(shape, T5Config)
    assert (shape.d_model, shape.num_layers, shape.is_gated_act) == (48, 3, True)
    assert shape.dropout_rate == T5Config().dropout_rate


def test_an_integer_is_a_fraction_where_one_is_taken() -> None:
    shape = architecture(random(model_type="t5", initializer_factor=3, num_layers=2), tiny=False)
    assert (shape.initializer_factor, shape.num_layers) == (3.0, 2)


def test_upstreams_other_names_are_taken() -> None:
    assert architecture(random(model_type="t5", hidden_size=48), tiny=False).d_model == 48


@pytest.mark.parametrize(
    ("fields", "reported"),
    [
        ({"model_type": "t5", "d_modle": 3}, "model.architecture.d_modle: .*'d_model'"),
        ({"model_type": "t55"}, r"model.architecture.model_type: .*'t55'\s+Did you mean 't5'"),
        ({"model_type": "roberta"}, "there is no text generation architecture 'roberta'"),
        ({"model_type": "whatever"}, "There are: .*t5.*; and many decoder-only ones, such as gpt2"),
        ({"model_type": "t5", "d_model": "abc"}, "model.architecture.d_model: .*int, got str"),
        ({"model_type": "t5", "dropout_rate": "x"}, "model.architecture.dropout_rate: "),
        ({"model_type": "qwen2_audio"}, "model_type: qwen2_audio does not generate text from text"),
        ({"model_type": "t5gemma", "encoder": {"hidden": 3}}, r"architecture\.encoder\.hidden: "),
        (
            {"model_type": "t5gemma", "encoder": {"hidden_size": 33}},
            r"model\.architecture\.encoder\.hidden_size: .*not a multiple",
        ),
        ({"model_type": "t5gemma", "encoder": 3}, "architecture.encoder: is a config of its own"),
        (
            {"model_type": "encoder-decoder", "decoder": {"model_type": "bertt"}},
            "architecture.decoder.model_type: there is no architecture 'bertt'.*'bert'",
        ),
        (
            {"model_type": "t5gemma", "decoder": {"model_type": "bert"}},
            "architecture.decoder.model_type: is always t5_gemma_module in T5GemmaConfig",
        ),
    ],
)
def test_mistakes_are_reported_with_their_key(fields: dict[str, Any], reported: str) -> None:
    import re

    assert re.search(reported, rejection(random(**fields)), re.DOTALL)


def test_every_unknown_name_is_reported_at_once() -> None:
    text = rejection(random(model_type="t5", d_modle=3, num_layer=2))
    assert "d_modle" in text
    assert "num_layer:" in text
    text = rejection(random(model_type="encoder-decoder", x=1, encoder={"y": 2}, decoder={"z": 3}))
    assert [f"model.architecture.{name}: " in text for name in ("x", "encoder.y", "decoder.z")] == [
        True
    ] * 3


def test_fields_of_a_config_inside_a_config() -> None:
    shape = architecture(
        random(
            model_type="encoder-decoder",
            encoder={"model_type": "roberta", "num_hidden_layers": 3},
            decoder={"hidden_size": 48, "num_attention_heads": 4},
        ),
        tiny=False,
    )
    encoder, decoder = shape.encoder, shape.decoder
    assert (encoder.model_type, encoder.num_hidden_layers) == ("roberta", 3)
    assert (decoder.model_type, decoder.hidden_size) == ("bert", 48)
    assert (decoder.is_decoder, decoder.add_cross_attention) == (True, True)
    assert vocabulary_size(shape) == BertConfig().vocab_size


@pytest.mark.parametrize("model_type", ["encoder-decoder", "t5gemma", "t5gemma2"])
def test_each_config_inside_a_config_is_tiny(model_type: str) -> None:
    shape = architecture(random(model_type=model_type), tiny=True)
    encoder = parts_of(shape.encoder).get("text_config", shape.encoder)
    for side in (encoder, shape.decoder):
        assert (side.hidden_size, side.num_hidden_layers) == (32, 2)
        assert {getattr(side, name) for name in dropout_fields(side)} == {0.0}
    assert vocabulary_size(shape) == TINY_VOCABULARY
    if model_type == "t5gemma2":
        assert shape.encoder.vision_config.hidden_size == 32


def test_tiny_starts_with_a_token_that_it_has() -> None:
    shape = architecture(random(model_type="marian"), tiny=True)
    assert (shape.decoder_start_token_id, shape.pad_token_id, shape.eos_token_id) == (1, 1, 0)
    assert shape.decoder_vocab_size == TINY_VOCABULARY


def test_a_tiny_model_of_a_family_with_experts_has_some() -> None:
    shape = architecture(random(model_type="switch_transformers"), tiny=True)
    assert (shape.encoder_sparse_step, shape.decoder_sparse_step) == (2, 2)


def test_a_model_that_does_not_read_text_is_rejected(tmp_path: Path) -> None:
    for config in (WhisperConfig(), VisionEncoderDecoderConfig()):
        config.save_pretrained(tmp_path)
        text = rejection(ModelConfig(name_or_path=str(tmp_path)))
        assert f"is a {config.model_type}, which does not generate text from text alone" in text


def test_dropout_of_one_side_can_be_set(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    EncoderDecoderConfig().save_pretrained(tmp_path)
    fields = {"decoder": {"hidden_dropout_prob": 0, "hidden_size": 8}}
    with caplog.at_level(logging.WARNING):
        chosen = ModelConfig(name_or_path=str(tmp_path), architecture=fields)
        shape = architecture(chosen, tiny=False)
    assert (shape.encoder.hidden_dropout_prob, shape.decoder.hidden_dropout_prob) == (0.1, 0)
    assert "model.architecture.decoder.hidden_size=8 has no effect on 768" in caplog.text


def test_tiny_keeps_the_architecture_and_drops_nothing() -> None:
    shape = architecture(
        random(
            model_type="bart", d_model=1024, encoder_layers=12, dropout=0.3, scale_embedding=True
        ),
        tiny=True,
    )
    assert isinstance(shape, BartConfig)
    assert shape.vocab_size == TINY_VOCABULARY
    assert (shape.d_model, shape.encoder_layers, shape.scale_embedding) == (32, 2, True)
    assert {getattr(shape, name) for name in dropout_fields(shape)} <= {0.0}


def test_tiny_needs_an_architecture_without_asking_the_hub() -> None:
    text = rejection(ModelConfig(name_or_path="nobody/nothing"), tiny=True)
    assert text.startswith("model.architecture.model_type: is not set")


def test_tiny_of_a_local_folder(tmp_path: Path) -> None:
    LEDConfig(attention_window=[512] * 6, max_decoder_position_embeddings=2048).save_pretrained(
        tmp_path
    )
    shape = architecture(ModelConfig(name_or_path=str(tmp_path)), tiny=True)
    assert shape.model_type == "led"
    assert shape.attention_window == [16, 16]


@pytest.fixture
def trained(tmp_path: Path) -> str:
    T5Config(d_model=16, dropout_rate=0.2, feed_forward_proj="gated-gelu").save_pretrained(tmp_path)
    return str(tmp_path)


def test_random_weights_of_a_named_shape(trained: str) -> None:
    config = ModelConfig(
        init="random", name_or_path=trained, architecture={"feed_forward_proj": "relu"}
    )
    shape = architecture(config, tiny=False)
    assert (shape.d_model, shape.dropout_rate, shape.is_gated_act) == (16, 0.2, False)


def test_dropout_of_trained_weights_can_be_set(
    trained: str, caplog: pytest.LogCaptureFixture
) -> None:
    fields = {"model_type": "t5", "dropout_rate": 0, "d_model": 16}
    with caplog.at_level(logging.WARNING):
        shape = architecture(ModelConfig(name_or_path=trained, architecture=fields), tiny=False)
    assert shape.dropout_rate == 0
    assert caplog.messages == []


def test_a_shape_that_trained_weights_do_not_have_is_logged(
    trained: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        shape = architecture(
            ModelConfig(name_or_path=trained, architecture={"d_model": 64}), tiny=False
        )
    assert shape.d_model == 16
    assert "model.architecture.d_model=64 has no effect on 16" in caplog.text
    assert "model.init=random" in caplog.text


def test_another_family_is_one_remark(trained: str, caplog: pytest.LogCaptureFixture) -> None:
    fields = {"model_type": "bart", "encoder_layers": 6, "dropout": 0.3}
    with caplog.at_level(logging.WARNING):
        shape = architecture(ModelConfig(name_or_path=trained, architecture=fields), tiny=False)
    assert shape.dropout_rate == 0.2
    assert len(caplog.messages) == 1
    assert "it describes bart, and the pretrained model is t5" in caplog.text


def test_trained_weights_reject_unknown_names_and_values(trained: str) -> None:
    named = {"name_or_path": trained}
    assert "'dropout_rate'" in rejection(ModelConfig(**named, architecture={"dropout_rat": 0}))
    wrong = rejection(ModelConfig(**named, architecture={"dropout_rate": "none"}))
    assert wrong.startswith("model.architecture.dropout_rate: ")


def test_one_window_for_every_layer_is_no_difference(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    LEDConfig(attention_window=[1024] * 6).save_pretrained(tmp_path)
    fields = {"model_type": "led", "attention_window": 1024}
    with caplog.at_level(logging.WARNING):
        architecture(ModelConfig(name_or_path=str(tmp_path), architecture=fields), tiny=False)
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("tasks", "options", "left_out"),
    [
        ({"summarization": {"prefix": "summarize: ", "num_beams": 4}}, {}, "summarize: "),
        ({"summarization": {"prefix": "summarize: "}}, {"source_prefix": "tl;dr: "}, None),
        ({"summarization": {"prefix": "summarize: "}}, {"source_prefix": ""}, None),
        ({"summarization": {"prefix": "summarize: "}}, {"init": "random"}, None),
        ({"summarization": {"num_beams": 4}}, {}, None),
        ({"translation": {"prefix": "translate: "}}, {}, None),
        (None, {}, None),
    ],
)
def test_a_prefix_of_trained_weights_is_not_forgotten(
    tasks: dict[str, Any] | None, options: dict[str, Any], left_out: str | None, tmp_path: Path
) -> None:
    T5Config(task_specific_params=tasks).save_pretrained(tmp_path)
    chosen = ModelConfig(name_or_path=str(tmp_path), **options)
    assert prefix_left_out(chosen, architecture(chosen, tiny=False)) == left_out
