from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.modeling.tiny_models import (
    ARCHITECTURES,
    DECODER_ONLY,
    DOCUMENTS,
    SUMMARIES,
    Tiny,
    config,
    corpus,
    load,
    m2m100_tokenizer,
    make,
    mbart50_tokenizer,
    nllb_tokenizer,
    summarize,
)
from transformers import (
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    BertConfig,
    BertTokenizer,
    EncoderDecoderConfig,
    EncoderDecoderModel,
    GenerationConfig,
    M2M100Config,
    M2M100ForConditionalGeneration,
)

from summexp.data.collate import build_collator
from summexp.data.config import DataConfig
from summexp.errors import ConfigError
from summexp.evaluation.loss import count_targets, token_loss_sum
from summexp.modeling.config import ModelConfig
from summexp.modeling.model_builder import build_model, build_tokenizer


def batch_of(tiny: Tiny) -> dict[str, torch.Tensor]:
    rows = [
        {
            "input_ids": tiny.tokenizer(document)["input_ids"],
            "labels": tiny.tokenizer(text_target=summary)["input_ids"],
        }
        for document, summary in zip(DOCUMENTS, SUMMARIES, strict=True)
    ]
    return build_collator(tiny.tokenizer, tiny.model, DataConfig())(rows)


def train_a_step(tiny: Tiny) -> float:
    tiny.model.train()
    batch = batch_of(tiny)
    labels = batch.pop("labels")
    loss = token_loss_sum(tiny.model(**batch).logits, labels) / count_targets(labels)
    loss.backward()
    weights = [weight for weight in tiny.model.parameters() if weight.requires_grad]
    torch.optim.AdamW(weights, lr=0.01).step()
    return loss.item()


def rejection(chosen: ModelConfig, *, loads: bool = False) -> str:
    with pytest.raises(ConfigError) as caught:
        (load if loads else make)(chosen)
    return str(caught.value)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_each_architecture_trains_generates_saves_and_loads(
    model_type: str, tmp_path: Path
) -> None:
    tiny = make(config(model_type))
    assert tiny.model.config.model_type == model_type
    first = train_a_step(tiny)
    assert train_a_step(tiny) < first
    text = summarize(tiny.model, tiny.tokenizer, DOCUMENTS)
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path)
    assert type(loaded) is type(tiny.model)
    assert loaded.config.decoder_start_token_id == tiny.model.config.decoder_start_token_id
    assert summarize(loaded, tokenizer, DOCUMENTS) == text


@pytest.mark.parametrize("model_type", ["t5", "bart", "pegasus", "led"])
def test_generation_starts_as_training_does(model_type: str) -> None:
    tiny = make(config(model_type))
    start = batch_of(tiny)["decoder_input_ids"][:, 0].tolist()
    ids = tiny.tokenizer(DOCUMENTS, padding=True, return_tensors="pt")
    generated = tiny.model.generate(**ids, max_new_tokens=2)
    assert generated[:, 0].tolist() == start
    assert set(start) == {tiny.model.generation_config.decoder_start_token_id}


def test_weights_come_from_the_seed() -> None:
    one, same = make(config("t5")), make(config("t5"))
    pairs = zip(one.model.parameters(), same.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_language_is_forced_without_touching_the_models_config() -> None:
    tiny = make(config("mbart"))
    code = tiny.tokenizer.convert_tokens_to_ids("ko_KR")
    assert tiny.model.generation_config.forced_bos_token_id == code
    assert getattr(tiny.model.config, "forced_bos_token_id", None) is None
    labels = batch_of(tiny)["labels"]
    assert set(labels[:, 0].tolist()) == {code}
    ids = tiny.tokenizer(DOCUMENTS, padding=True, return_tensors="pt")
    assert set(tiny.model.generate(**ids, max_new_tokens=4)[:, 1].tolist()) == {code}


def test_a_model_that_starts_with_its_language_needs_one() -> None:
    chosen = config(
        "mbart", lang=None, forced_bos_token=None, architecture={"decoder_start_token_id": None}
    )
    with pytest.raises(ConfigError, match=r"model\.lang: is not set"):
        build_tokenizer(chosen, corpus(), tiny=True, cache_dir=None)
    tiny = make(config("mbart", architecture={"decoder_start_token_id": None}))
    code = tiny.tokenizer.convert_tokens_to_ids("ko_KR")
    assert tiny.model.config.decoder_start_token_id == code


@pytest.fixture
def mbart50(tmp_path: Path) -> str:
    tiny = make(config("mbart", architecture={"vocab_size": 512}))
    tiny.model.generation_config.forced_bos_token_id = None
    tiny.model.save_pretrained(tmp_path)
    mbart50_tokenizer().save_pretrained(tmp_path)
    return str(tmp_path)


def test_mbart50_reads_one_language_and_writes_another(mbart50: str) -> None:
    tiny = load(ModelConfig(name_or_path=mbart50, lang="en_XX", forced_bos_token="ko_KR"))
    tokens = tiny.tokenizer.convert_ids_to_tokens
    assert tokens(tiny.tokenizer("rain")["input_ids"][0]) == "en_XX"
    assert tokens(tiny.tokenizer(text_target="rain")["input_ids"][0]) == "ko_KR"
    batch = batch_of(tiny)
    assert set(tokens(batch["decoder_input_ids"][:, 0].tolist())) == {"</s>"}
    for text in summarize(tiny.model, tiny.tokenizer, DOCUMENTS):
        assert text.startswith("</s>ko_KR")


def test_mbart50_with_one_language(mbart50: str) -> None:
    tiny = load(ModelConfig(name_or_path=mbart50, lang="ja_XX"))
    tokens = tiny.tokenizer.convert_ids_to_tokens
    assert tokens(tiny.tokenizer("rain")["input_ids"][0]) == "ja_XX"
    assert tokens(tiny.tokenizer(text_target="rain")["input_ids"][0]) == "ja_XX"
    assert tiny.model.generation_config.forced_bos_token_id is None


@pytest.fixture(params=["m2m100", "nllb"])
def many_languages(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, str, str, str]:
    """A folder with an M2M100, its codes of Korean and of English, and its token of Korean."""
    is_nllb = request.param == "nllb"
    tokenizer = nllb_tokenizer() if is_nllb else m2m100_tokenizer(tmp_path)
    shape = M2M100Config(
        vocab_size=512, d_model=16, encoder_layers=1, decoder_layers=1, encoder_ffn_dim=16,
        decoder_ffn_dim=16, encoder_attention_heads=2, decoder_attention_heads=2,
        max_position_embeddings=64, decoder_start_token_id=2,
    )  # fmt: skip
    torch.manual_seed(0)
    M2M100ForConditionalGeneration(shape).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    codes = ("kor_Hang", "eng_Latn", "kor_Hang") if is_nllb else ("ko", "en", "__ko__")
    return (str(tmp_path / "model"), *codes)


def test_many_languages_are_read_and_written(many_languages: tuple[str, str, str, str]) -> None:
    folder, korean, english, token = many_languages
    tiny = load(ModelConfig(name_or_path=folder, lang=english, forced_bos_token=korean))
    tokens = tiny.tokenizer.convert_ids_to_tokens
    assert english in tokens(tiny.tokenizer("rain")["input_ids"][0])
    labels = batch_of(tiny)["labels"]
    assert set(tokens(labels[:, 0].tolist())) == {token}
    assert train_a_step(tiny) > train_a_step(tiny)
    ids = tiny.tokenizer(DOCUMENTS, padding=True, return_tensors="pt")
    generated = tiny.model.eval().generate(**ids, max_new_tokens=4)
    assert [set(tokens(column.tolist())) for column in generated.T[:2]] == [{"</s>"}, {token}]
    # Neither is part of the summary.
    decoded = tiny.tokenizer.batch_decode(generated, skip_special_tokens=True)
    assert not any(token in text for text in decoded)
    assert tiny.tokenizer.convert_tokens_to_ids(token) < len(tiny.tokenizer)


def test_many_languages_want_to_know_which(
    many_languages: tuple[str, str, str, str], tmp_path: Path
) -> None:
    folder, korean, english, _ = many_languages
    text = rejection(ModelConfig(name_or_path=folder), loads=True)
    assert text.startswith("model.lang: is not set")
    assert f"model.lang={english}" in text
    assert "Did you mean" in rejection(
        ModelConfig(name_or_path=folder, lang=f"{korean}x"), loads=True
    )
    # One that was trained here brings its languages with it.
    tiny = load(ModelConfig(name_or_path=folder, lang=korean))
    again = load(ModelConfig(name_or_path=saved(tiny, tmp_path / "trained")))
    assert (again.tokenizer.src_lang, again.tokenizer.tgt_lang) == (korean, korean)


def test_languages_that_the_model_does_not_have(mbart50: str) -> None:
    text = rejection(ModelConfig(name_or_path=mbart50, lang="ko_KO"), loads=True)
    assert text.startswith("model.lang: the tokenizer has no language 'ko_KO'")
    assert "'ko_KR'" in text
    # M2M100's and NLLB's names of it are told this model's.
    for other in ("ko", "kor_Hang"):
        text = rejection(ModelConfig(name_or_path=mbart50, lang=other), loads=True)
        assert "Similar ones: ko_KR. It has: " in text
    text = rejection(
        ModelConfig(name_or_path=mbart50, lang="ko_KR", forced_bos_token="xx_YY"), loads=True
    )
    assert text.startswith("model.forced_bos_token: the tokenizer has no token 'xx_YY'")


def saved(tiny: Tiny, folder: Path) -> str:
    tiny.model.save_pretrained(folder)
    tiny.tokenizer.save_pretrained(folder)
    return str(folder)


def test_a_model_without_languages_reports_it(tmp_path: Path) -> None:
    name = saved(make(config("t5")), tmp_path)
    # "a" is a token of every vocabulary, and no language.
    text = rejection(ModelConfig(name_or_path=name, lang="a"), loads=True)
    assert "has no language tokens" in text


def test_a_folders_own_generation_config_is_kept(tmp_path: Path) -> None:
    tiny = make(config("bart"))
    own = {"num_beams": 4, "max_length": 142, "min_length": 56, "length_penalty": 2.0}
    tiny.model.generation_config = GenerationConfig(
        **own, decoder_start_token_id=2, pad_token_id=1, eos_token_id=2, bos_token_id=0
    )
    loaded = load(ModelConfig(name_or_path=saved(tiny, tmp_path)))
    assert {key: getattr(loaded.model.generation_config, key) for key in own} == own


def test_the_vocabulary_grows_to_the_tokenizers(tmp_path: Path) -> None:
    tiny = make(config("t5"))
    before = tiny.model.get_input_embeddings().weight.detach().clone()
    tiny.tokenizer.add_tokens([f"<speaker_{number}>" for number in range(600)])
    loaded = load(ModelConfig(name_or_path=saved(tiny, tmp_path)))
    after = loaded.model.get_input_embeddings().weight
    assert after.shape[0] == len(loaded.tokenizer) == loaded.model.config.vocab_size
    assert torch.equal(after[: before.shape[0]], before)
    train_a_step(loaded)


def test_a_vocabulary_of_two_sides_grows(tmp_path: Path) -> None:
    tiny = make(config("encoder-decoder"))
    tiny.tokenizer.add_tokens([f"<{number}>" for number in range(100)])
    saved(tiny, tmp_path)
    loaded = load(ModelConfig(name_or_path=str(tmp_path)))
    tables = (loaded.model.encoder, loaded.model.decoder)
    rows = [side.get_input_embeddings().weight.shape[0] for side in tables]
    assert rows == [len(tiny.tokenizer)] * 2
    assert train_a_step(loaded) > 0


def test_bert_starts_and_ends_with_the_tokens_around_its_texts(tmp_path: Path) -> None:
    # As `EncoderDecoderModel.from_encoder_decoder_pretrained` makes it of two BERTs.
    side = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sides = [BertConfig(**side, intermediate_size=16, vocab_size=99) for _ in range(2)]
    shape = EncoderDecoderConfig.from_encoder_decoder_configs(*sides)
    EncoderDecoderModel(shape).save_pretrained(tmp_path)
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz.,"]
    vocabulary = {word: number for number, word in enumerate(words)}
    BertTokenizer(vocab=vocabulary).save_pretrained(tmp_path)
    loaded = load(ModelConfig(name_or_path=str(tmp_path)))
    assert loaded.tokenizer.eos_token_id is None
    generation = loaded.model.generation_config
    assert (generation.decoder_start_token_id, generation.eos_token_id) == (2, 3)
    batch = batch_of(loaded)
    assert batch["decoder_input_ids"][:, 0].tolist() == [2] * 4
    assert [max(row) for row in (batch["labels"] == 3).tolist()] == [True] * 4
    assert train_a_step(loaded) > 0


@pytest.mark.parametrize("model_type", ["t5", "bart"])
@pytest.mark.parametrize("part", ["encoder", "decoder", "embeddings", "*layer_norm*"])
def test_frozen_parts_do_not_move(model_type: str, part: str) -> None:
    tiny = make(config(model_type, freeze=[part]))
    before = {name: weight.detach().clone() for name, weight in tiny.model.named_parameters()}
    train_a_step(tiny)
    moved = {
        name
        for name, weight in tiny.model.named_parameters()
        if not torch.equal(weight, before[name])
    }
    marks = {"embeddings": ("shared", "embed_"), "*layer_norm*": ("layer_norm",)}
    frozen = {
        name
        for name in before
        if any(mark in f".{name}" for mark in marks.get(part, (f".{part}.",)))
    }
    assert frozen
    assert not moved & frozen
    assert len(moved) > 5


def test_freezing_the_encoder_of_two_berts_leaves_the_decoder() -> None:
    model = make(config("encoder-decoder", freeze=["encoder"])).model
    assert not any(weight.requires_grad for weight in model.encoder.parameters())
    assert all(weight.requires_grad for weight in model.decoder.parameters())


def test_freezing_nothing_or_everything_is_a_mistake() -> None:
    assert "no weight of the model belongs to 'encodr'" in rejection(
        config("t5", freeze=["encodr"])
    )
    assert "leaves no trainable weights" in rejection(config("t5", freeze=["*"]))


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_dtype(name: str, tmp_path: Path) -> None:
    tiny = make(config("t5", dtype=name))
    assert tiny.model.dtype == getattr(torch, name)
    folder = saved(tiny, tmp_path)
    assert load(ModelConfig(name_or_path=folder, dtype="auto")).model.dtype == tiny.model.dtype
    assert load(ModelConfig(name_or_path=folder)).model.dtype == torch.float32


def test_a_decoder_deeper_than_its_encoder_generates(caplog: pytest.LogCaptureFixture) -> None:
    deep = config("t5", architecture={"num_layers": 1, "num_decoder_layers": 2})
    shape, tokenizer = build_tokenizer(deep, corpus(), tiny=False, cache_dir=None)
    model = build_model(deep, shape, tokenizer, seed=0, longest_source=9, longest_target=9)
    assert "generating without a cache" in caplog.text
    ids = tokenizer("rain", return_tensors="pt")["input_ids"]
    assert model.generate(ids, max_length=5).shape[0] == 1


def test_attention_implementation() -> None:
    tiny = make(config("bart", attn_implementation="eager"))
    assert tiny.model.config._attn_implementation == "eager"
    text = rejection(config("bart", attn_implementation="flash_attention_2"))
    assert text.startswith("model.attn_implementation: ")


@pytest.mark.parametrize(
    ("model_type", "fields", "key"),
    [
        ("bart", {"d_model": 30}, "model.architecture.d_model"),
        ("t5", {"feed_forward_proj": "bogus"}, "model.architecture.feed_forward_proj"),
        ("bart", {"activation_function": "bogus"}, "model.architecture.activation_function"),
    ],
)
def test_values_that_no_model_can_be_made_of(
    model_type: str, fields: dict[str, Any], key: str
) -> None:
    chosen = config(model_type, architecture={"vocab_size": 300, **fields})
    text = rejection(chosen, loads=True)
    assert text.startswith(f"{key}: "), text


def corrupt(folder: Path, what: str) -> None:
    if what == "no tokenizer":
        for path in folder.glob("tokenizer*"):
            path.unlink()
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "cut weights":
        whole = (folder / "model.safetensors").read_bytes()
        (folder / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    elif what == "no config":
        (folder / "config.json").unlink()
    else:
        (folder / "config.json").write_text("{", encoding="utf-8")


@pytest.mark.parametrize(
    "what",
    ["no tokenizer", "no weights", "cut weights", "no config", "broken config"],
)
def test_a_folder_that_cannot_be_loaded_is_reported(what: str, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    saved(make(config("t5")), folder)
    corrupt(folder, what)
    text = rejection(ModelConfig(name_or_path=str(folder)), loads=True)
    assert text.startswith(f"model.name_or_path: {str(folder)!r} cannot be loaded: ")
    assert "config.json, the weights and the tokenizer" in text


def test_no_such_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.chdir(tmp_path)
    text = rejection(ModelConfig(name_or_path="models/t5"), loads=True)
    assert text.startswith("model.name_or_path: 'models/t5' cannot be loaded")
    assert "The run is offline" in text


def test_loading_prints_no_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = saved(make(config("bart")), tmp_path)
    with caplog.at_level(logging.WARNING):
        tiny = load(ModelConfig(name_or_path=folder))
        summarize(tiny.model, tiny.tokenizer, DOCUMENTS)
    assert caplog.messages == []


@pytest.mark.parametrize("model_type", DECODER_ONLY)
def test_a_decoder_only_model_trains_generates_saves_and_loads(
    model_type: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        tiny = make(config(model_type))
    assert caplog.messages == []
    assert getattr(tiny.model.config, "decoder_start_token_id", None) is None
    ends = (tiny.tokenizer.pad_token_id, tiny.tokenizer.eos_token_id)
    own = tiny.model.generation_config
    assert (own.pad_token_id, own.eos_token_id) == ends
    assert (tiny.model.config.pad_token_id, tiny.model.config.eos_token_id) == ends
    first = train_a_step(tiny)
    assert train_a_step(tiny) < first
    folder = saved(tiny, tmp_path)
    loaded = load(ModelConfig(name_or_path=folder))
    assert type(loaded.model) is type(tiny.model)
    prompts = build_collator(tiny.tokenizer, tiny.model, DataConfig()).prompts(
        [{"input_ids": tiny.tokenizer(one)["input_ids"]} for one in DOCUMENTS]
    )
    texts = [
        one.model.eval().generate(**prompts, max_new_tokens=8, do_sample=False).tolist()
        for one in (tiny, loaded)
    ]
    assert texts[0] == texts[1]


def test_a_tokenizer_without_padding_pads_with_the_end(tmp_path: Path) -> None:
    tiny = make(config("gpt2"))
    tiny.tokenizer.pad_token = None
    tiny.model.config.pad_token_id = tiny.model.generation_config.pad_token_id = None
    loaded = load(ModelConfig(name_or_path=saved(tiny, tmp_path)))
    assert loaded.tokenizer.pad_token == loaded.tokenizer.eos_token
    assert loaded.model.generation_config.pad_token_id == loaded.tokenizer.eos_token_id


def test_a_tokenizer_without_an_end_is_rejected(tmp_path: Path) -> None:
    tiny = make(config("gpt2"))
    tiny.tokenizer.eos_token = None
    text = rejection(ModelConfig(name_or_path=saved(tiny, tmp_path)), loads=True)
    assert text.startswith("model.name_or_path: has a tokenizer without a token for the end")


def test_an_encoder_alone_is_rejected(tmp_path: Path) -> None:
    BertConfig(vocab_size=300).save_pretrained(tmp_path)
    text = rejection(ModelConfig(name_or_path=str(tmp_path)), loads=True)
    assert text.startswith(
        f"model.name_or_path: {str(tmp_path)!r} is a bert, which does not generate"
    )


@pytest.mark.parametrize(
    ("model_type", "expected"),
    [
        ("gpt2", {"wte", "wpe"}),
        ("llama", {"embed_tokens"}),
        ("gpt_neox", {"embed_in"}),
        ("bloom", {"word_embeddings"}),
        ("openai-gpt", {"tokens_embed", "positions_embed"}),
        ("qwen2_moe", {"embed_tokens"}),
    ],
)
def test_embeddings_of_decoder_only_models_are_frozen(model_type: str, expected: set[str]) -> None:
    tiny = make(config(model_type, freeze=["embeddings"]))
    frozen = {
        name.split(".")[-2]
        for name, weight in tiny.model.named_parameters()
        if not weight.requires_grad
    }
    assert frozen == expected
    assert "no weight of the model belongs to 'encoder'" in rejection(
        config(model_type, freeze=["encoder"])
    )
