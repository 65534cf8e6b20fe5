from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from tests.modeling.tiny_models import (
    ARCHITECTURES,
    DOCUMENTS,
    SUMMARIES,
    Tiny,
    config,
    load,
    make,
    make_loud,
    summarize,
)
from transformers import AutoModelForSeq2SeqLM, PreTrainedModel

from summexp.errors import ConfigError
from summexp.modeling.adapters import (
    adapted_modules,
    adapter_weights,
    has_adapter,
    lora_config,
    merge_adapter,
    save_adapter,
)
from summexp.modeling.config import ModelConfig, PeftConfig

QUERIES_AND_VALUES = {
    "t5": ["q", "v"],
    "mt5": ["q", "v"],
    "longt5": ["q", "v"],
    "bart": ["q_proj", "v_proj"],
    "mbart": ["q_proj", "v_proj"],
    "pegasus": ["q_proj", "v_proj"],
    "led": ["q_proj", "query", "query_global", "v_proj", "value", "value_global"],
}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "dora": {"use_dora": True},
    "rslora": {"use_rslora": True},
    "biases": {"bias": "all"},
    "every layer": {"target_modules": ["all-linear"]},
    "positions": {"modules_to_save": ["embed_positions"]},
}


def lora(**options: Any) -> PeftConfig:
    return PeftConfig(name="lora", **{"dropout": 0.0, **options})


def logits(model: PreTrainedModel, tiny: Tiny) -> torch.Tensor:
    batch = tiny.tokenizer(DOCUMENTS, padding=True, return_tensors="pt")
    labels = tiny.tokenizer(SUMMARIES, padding=True, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        return model.eval()(**batch, labels=labels).logits


def train_by_chance(model: PreTrainedModel, *, by: float = 0.3) -> None:
    """Move every weight that is trained, as training would."""
    torch.manual_seed(1)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.requires_grad:
                weight.add_(torch.randn_like(weight) * by)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_queries_and_values_of_every_attention_are_adapted(model_type: str) -> None:
    tiny = make(config(model_type), peft=lora())
    assert adapted_modules(tiny.model) == QUERIES_AND_VALUES[model_type]
    changed = {
        name.split(".lora_A.")[0] for name, _ in tiny.model.named_parameters() if ".lora_A." in name
    }
    plain = make(config(model_type)).model
    names = QUERIES_AND_VALUES[model_type]
    assert changed == {one for one, _ in plain.named_modules() if one.split(".")[-1] in names}
    for stack in ("encoder.", "decoder."):
        assert any(stack in name for name in changed)


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_at_first_the_model_is_its_base(model_type: str) -> None:
    tiny, base = make(config(model_type), peft=lora()), make(config(model_type))
    assert logits(tiny.model, tiny).equal(logits(base.model, base))
    assert tiny.model.num_parameters() - adapter_weights(tiny.model) == base.model.num_parameters()


def test_dora_is_its_base_but_for_rounding() -> None:
    tiny, base = make(config("bart"), peft=lora(use_dora=True)), make(config("bart"))
    torch.testing.assert_close(logits(tiny.model, tiny), logits(base.model, base))


def test_only_the_adapter_is_trained() -> None:
    model = make(config("t5"), peft=lora(rank=4)).model
    trained = {name: one for name, one in model.named_parameters() if one.requires_grad}
    assert all(".lora_A." in name or ".lora_B." in name for name in trained)
    assert all(min(weight.shape) == 4 for weight in trained.values())
    assert sum(map(torch.numel, trained.values())) == adapter_weights(model)
    assert model.num_parameters(only_trainable=True) == adapter_weights(model)


def test_the_adapters_first_weights_depend_on_the_seed_alone(tmp_path: Path) -> None:
    made = make(config("t5"), peft=lora()).model
    base = make(config("t5"))
    base.model.save_pretrained(tmp_path)
    base.tokenizer.save_pretrained(tmp_path)
    loaded = load(ModelConfig(name_or_path=str(tmp_path)), peft=lora()).model
    ours, theirs = made.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(ours[name].equal(theirs[name]) for name in ours)
    assert loaded.peft_config["default"].base_model_name_or_path == tmp_path.name


@pytest.mark.parametrize("model_type", ARCHITECTURES)
def test_merged_it_predicts_the_same_and_is_a_model_like_any_other(
    model_type: str, tmp_path: Path
) -> None:
    tiny = make(config(model_type), peft=lora())
    make_loud(tiny.model)
    before = summarize(tiny.model, tiny.tokenizer, DOCUMENTS)
    train_by_chance(tiny.model)
    expected, predicted = logits(tiny.model, tiny), summarize(tiny.model, tiny.tokenizer, DOCUMENTS)
    assert predicted != before
    assert has_adapter(tiny.model)
    merge_adapter(tiny.model)
    assert not has_adapter(tiny.model)
    assert tiny.model.state_dict().keys() == make(config(model_type)).model.state_dict().keys()
    tiny.model.save_pretrained(tmp_path)
    loaded = AutoModelForSeq2SeqLM.from_pretrained(tmp_path)
    assert type(loaded) is type(tiny.model)
    torch.testing.assert_close(logits(loaded, tiny), expected, atol=1e-3, rtol=1e-3)
    assert summarize(loaded, tiny.tokenizer, DOCUMENTS) == predicted


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_the_adapter_alone_gives_the_merged_model_with_its_base(
    options: dict[str, Any], tmp_path: Path
) -> None:
    tiny = make(config("bart"), peft=lora(**options))
    train_by_chance(tiny.model, by=0.1)
    expected = logits(tiny.model, tiny)
    save_adapter(tiny.model, tmp_path / "adapter")
    merge_adapter(tiny.model)
    torch.testing.assert_close(logits(tiny.model, tiny), expected, atol=1e-4, rtol=1e-4)
    base = make(config("bart"))
    assert not logits(base.model, base).allclose(expected, atol=1e-3)
    base.model.name_or_path = "base"
    with_adapter = PeftModel.from_pretrained(base.model, tmp_path / "adapter")
    torch.testing.assert_close(logits(with_adapter, tiny), expected, atol=1e-4, rtol=1e-4)


def test_the_saved_adapter_holds_nothing_of_the_base(tmp_path: Path) -> None:
    tiny = make(config("t5"), peft=lora())
    save_adapter(tiny.model, tmp_path / "adapter")
    tensors = load_file(tmp_path / "adapter" / "adapter_model.safetensors")
    assert sum(map(torch.numel, tensors.values())) == adapter_weights(tiny.model)
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (saved["r"], saved["lora_alpha"], saved["target_modules"]) == (8, 16.0, ["q", "v"])
    assert (saved["task_type"], saved["inference_mode"]) == ("SEQ_2_SEQ_LM", True)


@pytest.mark.parametrize(
    ("chosen", "name"),
    [
        ({"name_or_path": "google-t5/t5-small"}, "google-t5/t5-small"),
        ({"name_or_path": "{here}"}, "base"),
        ({"name_or_path": "google-t5/t5-small", "init": "random"}, None),
    ],
)
def test_the_adapter_names_its_base_and_no_place(
    chosen: dict[str, str], name: str | None, tmp_path: Path
) -> None:
    here = tmp_path / "base"
    here.mkdir()
    base = ModelConfig(**{key: one.format(here=here) for key, one in chosen.items()})
    found = lora_config(lora(), make(config("t5")).model, base)
    assert found.base_model_name_or_path == name


def test_modules_to_save_are_no_modules_of_the_adapter() -> None:
    every = make(config("bart"), peft=lora(target_modules=["all-linear"], modules_to_save=["fc1"]))
    assert "fc1" not in adapted_modules(every.model)
    assert "fc2" in adapted_modules(every.model)


def test_modules_to_save_are_trained_fully_and_kept() -> None:
    tiny = make(config("bart"), peft=lora(modules_to_save=["embed_positions"]))
    base = make(config("bart")).model.state_dict()
    train_by_chance(tiny.model)
    merge_adapter(tiny.model)
    merged = tiny.model.state_dict()
    changed = {name for name in base if not merged[name].equal(base[name])}
    ends = tuple(f".{name}.weight" for name in ("embed_positions", "q_proj", "v_proj"))
    assert changed == {name for name in base if name.endswith(ends)}


def test_an_adapter_of_a_16_bit_model_is_trained_in_32_bits() -> None:
    tiny = make(config("t5", dtype="bfloat16"), peft=lora())
    kinds = {(weight.requires_grad, weight.dtype) for weight in tiny.model.parameters()}
    assert kinds == {(True, torch.float32), (False, torch.bfloat16)}
    train_by_chance(tiny.model)
    logits(tiny.model, tiny)
    merge_adapter(tiny.model)
    assert {weight.dtype for weight in tiny.model.parameters()} == {torch.bfloat16}


def test_a_frozen_part_has_no_trained_adapter() -> None:
    model = make(config("t5", freeze=["encoder"]), peft=lora()).model
    trained = [name for name, one in model.named_parameters() if one.requires_grad]
    assert trained
    assert all(name.startswith("decoder.") for name in trained)


@pytest.mark.parametrize(
    ("model_type", "options", "text"),
    [
        ("t5", {"target_modules": ["q_prj"]}, "T5ForConditionalGeneration has no module 'q_prj'"),
        ("bart", {"target_modules": ["q_prj"]}, "Did you mean 'q_proj'"),
        ("t5", {"target_modules": ["SelfAttention"]}, "is not a linear layer"),
        ("t5", {"target_modules": ["shared"]}, "is not a linear layer"),
        ("t5", {"target_modules": ["q", "all-linear"]}, "all-linear must be the only value"),
        ("bart", {"target_modules": ["lm_head"]}, "is that of model.decoder.embed_tokens.weight"),
        ("bart", {"modules_to_save": ["shared"]}, "and would change alone"),
        ("t5", {"modules_to_save": ["embed_positions"]}, "has no module 'embed_positions'"),
        ("t5", {"modules_to_save": ["SelfAttention"]}, "that the adapter already changes"),
    ],
)
def test_modules_that_cannot_be_trained_are_rejected(
    model_type: str, options: dict[str, Any], text: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        make(config(model_type), peft=lora(**options))
    assert text in str(caught.value)
    assert [problem.key for problem in caught.value.problems] == [f"peft.{next(iter(options))}"]


def test_every_problem_is_reported_at_once() -> None:
    with pytest.raises(ConfigError) as caught:
        make(config("t5"), peft=lora(target_modules=["a1", "b2"], modules_to_save=["c3"]))
    assert len(caught.value.problems) == 3


def test_freezing_what_the_adapter_leaves_alone_is_rejected() -> None:
    with pytest.raises(ConfigError, match=r"'shared\.weight' is frozen anyway"):
        make(config("t5", freeze=["shared.weight"]), peft=lora())


def test_an_unknown_architecture_names_its_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("summexp.modeling.adapters._queries_and_values", lambda _: [])
    with pytest.raises(ConfigError, match="Name some of: fc1, fc2, k_proj, lm_head, out_proj"):
        make(config("pegasus"), peft=lora())


def test_new_tokens_are_reported_to_stay_untrained(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    tiny = make(config("t5"))
    tiny.tokenizer.add_tokens([f"<new {number}>" for number in range(600)])
    tiny.model.save_pretrained(tmp_path)
    tiny.tokenizer.save_pretrained(tmp_path)
    loaded = load(ModelConfig(name_or_path=str(tmp_path)), peft=lora())
    assert "peft=lora does not train the embeddings of the new tokens" in caplog.messages
    assert not loaded.model.get_input_embeddings().weight.requires_grad


@pytest.mark.filterwarnings(
    "error:fan_in_fan_out", "ignore:`is_gradient_checkpointing`:FutureWarning"
)
@pytest.mark.parametrize(
    ("model_type", "targets"), [("gpt2", ["c_attn"]), ("llama", ["q_proj", "v_proj"])]
)
@pytest.mark.parametrize("options", [{}, {"target_modules": ["all-linear"]}])
def test_the_adapter_of_a_decoder_only_model(
    model_type: str, targets: list[str], options: dict[str, Any], tmp_path: Path
) -> None:
    def predicted(model: PreTrainedModel) -> torch.Tensor:
        ids = torch.tensor([tiny.tokenizer(DOCUMENTS[0])["input_ids"]])
        with torch.no_grad():
            return model.eval()(input_ids=ids).logits

    tiny, base = make(config(model_type), peft=lora(**options)), make(config(model_type))
    if not options:
        assert adapted_modules(tiny.model) == targets
    assert predicted(tiny.model).equal(predicted(base.model))
    train_by_chance(tiny.model, by=0.1)
    expected = predicted(tiny.model)
    save_adapter(tiny.model, tmp_path / "adapter")
    saved = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert saved["task_type"] == "CAUSAL_LM"
    assert saved["fan_in_fan_out"] is (model_type == "gpt2")
    merge_adapter(tiny.model)
    assert tiny.model.state_dict().keys() == base.model.state_dict().keys()
    torch.testing.assert_close(predicted(tiny.model), expected, atol=1e-4, rtol=1e-4)
    assert not predicted(base.model).allclose(expected, atol=1e-3)
    base.model.name_or_path = "base"
    with_adapter = PeftModel.from_pretrained(base.model, tmp_path / "adapter")
    torch.testing.assert_close(predicted(with_adapter), expected, atol=1e-4, rtol=1e-4)
