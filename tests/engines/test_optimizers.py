from __future__ import annotations

from pathlib import Path

import torch
from tests.engines.jobs import job, training

from summexp.engines.optimizers import build_optimizer
from summexp.engines.trainer_arguments import job_arguments


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
