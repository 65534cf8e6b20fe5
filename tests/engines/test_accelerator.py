from __future__ import annotations

from pathlib import Path

import pytest
from tests.engines.jobs import job, logged, training
from tests.engines.test_sharded import ZERO, needs_deepspeed

from summexp.engines.accelerate import AccelerateEngine
from summexp.engines.config import EngineConfig
from summexp.errors import ConfigError

ENGINE = EngineConfig(name="accelerate")


def test_what_is_in_the_environment_does_not_divide_the_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`accelerate launch` leaves variables there that Accelerate goes by unless it is told."""
    norms = []
    for steps in ("1", "4"):
        monkeypatch.setenv("ACCELERATE_GRADIENT_ACCUMULATION_STEPS", steps)
        one = job(tmp_path, engine=ENGINE, training=training(max_steps=1))
        AccelerateEngine().fit(one, None)
        norms.append(logged(tmp_path)[0]["grad_norm"])
    assert norms[0] == norms[1]


@needs_deepspeed
def test_deepspeed_brings_no_optimizer_and_no_schedule(tmp_path: Path) -> None:
    options = ZERO | {
        "zero_optimization": {"stage": 2},
        "optimizer": {"type": "AdamW"},
        "scheduler": {"type": "WarmupLR"},
    }
    one = job(tmp_path, engine=ENGINE, training=training(max_steps=1, deepspeed=options))
    with pytest.raises(ConfigError) as caught:
        AccelerateEngine().fit(one, None)
    reported = [problem.what for problem in caught.value.problems]
    assert [("optim" in what, "lr_scheduler_type" in what) for what in reported] == [
        (True, False),
        (False, True),
    ]
