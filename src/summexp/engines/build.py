"""The engine that `engine.name` names."""

from __future__ import annotations

from summexp.engines.config import EngineConfig
from summexp.engines.protocol import Engine


def build_engine(config: EngineConfig) -> Engine:
    """Return the training loop that was chosen; its libraries are imported only now."""
    from summexp.engines.trainer import TrainerEngine

    assert config.name == "trainer", "EngineConfig allows no other"
    return TrainerEngine()
