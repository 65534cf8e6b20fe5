from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.jobs import job, training
from tests.modeling.tiny_models import ARCHITECTURES, config, make
from transformers import Trainer

from summexp.engines.optimizers import build_optimizer, decayed_weights
from summexp.engines.trainer_arguments import job_arguments


class Names(torch.nn.Module):
    """A module under each name that may have a part in weight decay."""

    def __init__(self) -> None:
        super().__init__()
        for name in ("norm", "final_norm", "rmsnorm", "layernorm", "dense", "normal", "embed"):
            setattr(self, name, torch.nn.Linear(2, 2))
        self.named_otherwise = torch.nn.LayerNorm(2)
        self.bias_of_positions = torch.nn.Parameter(torch.zeros(2))
        self.scale = torch.nn.Parameter(torch.zeros(2))


@pytest.mark.parametrize("model_type", [None, *ARCHITECTURES])
def test_the_weights_that_decay_are_the_trainers(model_type: str | None) -> None:
    model: Any = Names() if model_type is None else make(config(model_type)).model
    found = decayed_weights(model)
    nobody: Any = None
    assert found == set(Trainer.get_decay_parameter_names(nobody, model))
    if model_type is None:
        assert found == {"dense.weight", "normal.weight", "embed.weight", "scale"}


def test_a_group_may_differ_from_the_arguments(tmp_path: Path) -> None:
    options = training(learning_rate=0.1, weight_decay=0.3, adam_beta1=0.5)
    args = job_arguments(job(tmp_path, training=options))
    first, second = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    groups = [
        {"params": list(first.parameters()), "weight_decay": 0.7},
        {"params": list(second.parameters()), "lr": 0.01},
    ]
    optimizer = build_optimizer(args, groups)
    assert isinstance(optimizer, torch.optim.AdamW)
    one, other = optimizer.param_groups
    assert (one["lr"], one["weight_decay"]) == (0.1, 0.7)
    assert other["lr"] == 0.01
    assert one["betas"] == other["betas"] == (0.5, 0.999)
