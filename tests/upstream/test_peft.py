"""Whether peft still has what `summexp.upstream.peft` leans on."""

from __future__ import annotations

from copy import deepcopy

import pytest
import torch
from peft import LoraConfig, TaskType, get_peft_model, inject_adapter_in_model
from tests.modeling.tiny_models import config, make
from torch import nn

from summexp.upstream.peft import merge_layers, usual_targets


def test_the_default_modules_of_an_architecture_are_those_that_peft_adapts() -> None:
    """Without `target_modules`, peft reads its own table."""
    base = make(config("t5")).model
    chosen = get_peft_model(deepcopy(base), LoraConfig(task_type=TaskType.SEQ_2_SEQ_LM))
    assert usual_targets("t5") == ["q", "v"]
    assert {*chosen.peft_config["default"].target_modules} == {*usual_targets("t5")}
    assert usual_targets("absent") is None


@pytest.mark.parametrize(
    "options", [{}, {"use_dora": True}, {"modules_to_save": ["final_layer_norm"]}]
)
def test_merging_gives_the_weights_of_merge_and_unload(options: dict[str, object]) -> None:
    """peft's own merging needs a wrapper around the model."""
    base = make(config("t5")).model
    lora = LoraConfig(target_modules=["q", "wi"], init_lora_weights=False, **options)
    torch.manual_seed(0)
    wrapped = get_peft_model(deepcopy(base), lora, adapter_name="one")
    torch.manual_seed(0)
    injected = inject_adapter_in_model(lora, deepcopy(base), "one")
    for model in (wrapped, injected):
        change_saved_modules(model)
    theirs = wrapped.merge_and_unload()
    merge_layers(injected, "one")
    names = [name for name, _ in base.named_parameters()]
    assert [name for name, _ in injected.named_parameters()] == names, "a layer stayed wrapped"
    state = theirs.state_dict()
    for name, weight in injected.state_dict().items():
        assert torch.equal(weight, state[name]), name
    changed = {name for name in names if not torch.equal(base.get_parameter(name), state[name])}
    assert {name.split(".")[-2] for name in changed} >= {"q", "wi"}


def change_saved_modules(model: nn.Module) -> None:
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "modules_to_save" in name:
                weight.add_(1.0)
