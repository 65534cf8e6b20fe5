from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.modeling.tiny_models import DOCUMENTS, config, make, summarize
from transformers import AutoModelForSeq2SeqLM, M2M100Config, MarianConfig, ProphetNetConfig

from summexp.errors import ConfigError
from summexp.modeling.positions import fit_positions

FEW = {
    "bart": {"max_position_embeddings": 16},
    "mbart": {"max_position_embeddings": 16},
    "pegasus": {"max_position_embeddings": 16},
    "led": {"max_encoder_position_embeddings": 16, "max_decoder_position_embeddings": 16},
}
LONG = " ".join(DOCUMENTS) * 2


def few(model_type: str, monkeypatch: pytest.MonkeyPatch, **options: Any) -> Any:
    """A config whose tiny has 16 positions."""
    from summexp.modeling import architecture

    sizes = {**architecture._TINY_SIZES, **FEW[model_type], "attention_window": 8}
    monkeypatch.setattr(architecture, "_TINY_SIZES", sizes)
    return config(model_type, architecture=FEW[model_type], **options)


@pytest.mark.parametrize("model_type", FEW)
def test_extended_models_generate_and_load(
    model_type: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    tmp_path: Path,
) -> None:
    chosen = few(model_type, monkeypatch)
    probe = make(chosen, longest_source=10, longest_target=10)
    tokens = len(probe.tokenizer(LONG)["input_ids"])
    assert tokens > 16
    assert caplog.messages == []
    with caplog.at_level(logging.WARNING):
        tiny = make(chosen, longest_source=tokens, longest_target=12)
    need = -(-tokens // 8) * 8
    assert caplog.messages == [f"extending the model's 16 position embeddings to {need}"]
    text = summarize(tiny.model, tiny.tokenizer, [LONG, "short"])
    tiny.model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert summarize(loaded, tiny.tokenizer, [LONG, "short"]) == text


@pytest.mark.parametrize("model_type", FEW)
def test_wished_for_extension_is_silent(
    model_type: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    chosen = few(model_type, monkeypatch, resize_position_embeddings=True)
    with caplog.at_level(logging.WARNING):
        tiny = make(chosen, longest_source=20)
    assert caplog.messages == []
    limits = [getattr(tiny.model.config, name) for name in FEW[model_type]]
    assert max(limits) == 24


@pytest.mark.parametrize("model_type", FEW)
def test_rejected_extension_is_a_mistake(model_type: str, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = few(model_type, monkeypatch, resize_position_embeddings=False)
    with pytest.raises(ConfigError) as caught:
        make(chosen, longest_source=20)
    assert str(caught.value).startswith("data.max_source_length: lets up to 20 tokens in")
    assert "Set it to 16" in str(caught.value)


def test_long_summaries_need_positions_too(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = few("led", monkeypatch, resize_position_embeddings=False)
    with pytest.raises(ConfigError, match=r"data\.max_target_length"):
        make(chosen, longest_source=10, longest_target=20)
    tiny = make(few("led", monkeypatch), longest_source=10, longest_target=20)
    assert tiny.model.config.max_decoder_position_embeddings == 24
    assert tiny.model.config.max_encoder_position_embeddings == 16


def test_trained_positions_are_repeated() -> None:
    tiny = make(config("bart"))
    positions = tiny.model.model.encoder.embed_positions
    old = positions.weight.detach().clone()
    offset, have = positions.offset, tiny.model.config.max_position_embeddings
    fit_positions(tiny.model, have + 5, 10, True)
    new = tiny.model.model.encoder.embed_positions.weight
    assert new.requires_grad
    assert torch.equal(new[: offset + have], old)
    assert torch.equal(new[offset + have :], old[offset : offset + 8])


@pytest.mark.parametrize(("model_type", "free"), [("bert", 0), ("roberta", 2)])
def test_positions_of_two_configs_are_extended(model_type: str, free: int, tmp_path: Path) -> None:
    sides = {"encoder": {"model_type": model_type}, "decoder": {"model_type": model_type}}
    chosen = config("encoder-decoder", architecture=sides, resize_position_embeddings=True)
    have = 128 - free
    short = make(chosen, longest_source=have, longest_target=10)
    assert short.model.config.encoder.max_position_embeddings == 128
    tiny = make(chosen, longest_source=have + 1, longest_target=10)
    need = -(-(have + 1) // 8) * 8 + free
    assert tiny.model.config.encoder.max_position_embeddings == need
    assert tiny.model.config.decoder.max_position_embeddings == 128
    old = short.model.encoder.embeddings.position_embeddings.weight
    new = tiny.model.encoder.embeddings.position_embeddings.weight
    assert torch.equal(new[:128], old)
    assert torch.equal(new[128:], old[free : free + need - 128])
    tiny.model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    ids = torch.full((1, have + 1), 5)
    logits = [
        one.eval()(input_ids=ids, decoder_input_ids=ids[:, :3]).logits
        for one in (tiny.model, loaded)
    ]
    assert torch.equal(*logits)


def test_rejected_extension_of_one_side_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match=r"up to 300 tokens in, and the model has 128 positions"):
        make(config("encoder-decoder", resize_position_embeddings=False), longest_source=300)
    # Rotary positions are computed, and this model was trained for so many.
    with pytest.raises(ConfigError, match="t5gemma cannot be extended"):
        make(config("t5gemma"), longest_source=300)


def test_led_needs_positions_for_whole_windows(monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = few("led", monkeypatch, resize_position_embeddings=True)
    tiny = make(chosen, longest_source=17)
    assert tiny.model.config.max_encoder_position_embeddings == 24
    ids = torch.full((1, 17), 5)
    tiny.model(input_ids=ids, decoder_input_ids=ids[:, :3])


def test_relative_positions_have_no_limit() -> None:
    tiny = make(config("t5"), longest_source=100_000)
    assert not hasattr(tiny.model.config, "max_position_embeddings")


def test_positions_made_when_needed_are_left_alone() -> None:
    model = AutoModelForSeq2SeqLM.from_config(
        M2M100Config(
            vocab_size=50,
            d_model=8,
            encoder_layers=1,
            decoder_layers=1,
            encoder_attention_heads=2,
            decoder_attention_heads=2,
            max_position_embeddings=16,
        )
    )
    fit_positions(model, 40, 10, True)
    assert model.config.max_position_embeddings == 40
    ids = torch.full((1, 40), 5)
    model(input_ids=ids, decoder_input_ids=ids[:, :3])


def small(shape: Any) -> Any:
    if shape is ProphetNetConfig:
        return shape(
            vocab_size=50,
            hidden_size=8,
            encoder_ffn_dim=8,
            decoder_ffn_dim=8,
            num_encoder_layers=1,
            num_decoder_layers=1,
            num_encoder_attention_heads=2,
            num_decoder_attention_heads=2,
            max_position_embeddings=16,
        )
    return shape(
        vocab_size=50,
        d_model=8,
        encoder_layers=1,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        pad_token_id=1,
        max_position_embeddings=16,
    )


@pytest.mark.parametrize("shape", [MarianConfig, ProphetNetConfig])
def test_what_cannot_be_extended_is_a_mistake(shape: Any) -> None:
    model = AutoModelForSeq2SeqLM.from_config(small(shape))
    with pytest.raises(ConfigError, match="cannot be extended"):
        fit_positions(model, 40, 10, None)
    assert model.config.max_position_embeddings == 16
