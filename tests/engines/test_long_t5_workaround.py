from __future__ import annotations

import pytest
import torch
from tests.modeling.tiny_models import config, make

from summexp.engines.long_t5_workaround import give_every_weight_a_gradient


@pytest.mark.parametrize("tokens", [3, 40])
def test_longt5_has_every_gradient_whatever_the_length(tokens: int) -> None:
    model = make(config("longt5")).model.eval()
    ids = torch.arange(5, 5 + tokens)[None]
    before = model(input_ids=ids, labels=ids).logits
    give_every_weight_a_gradient(model)
    outputs = model(input_ids=ids, labels=ids)
    assert outputs.logits.equal(before)
    outputs.loss.backward()
    missing = [name for name, weight in model.named_parameters() if weight.grad is None]
    assert missing == []
