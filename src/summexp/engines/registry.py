"""Registry of training engines by `engine.name`.

Tested in tests/engines/test_adapter_training.py.
"""

from __future__ import annotations

from summexp.engines.config import EngineConfig
from summexp.engines.protocol import Engine


def build_engine(config: EngineConfig) -> Engine:
    """Return the chosen engine; its libraries are imported here."""
    if config.name == "accelerate":
        from summexp.engines.accelerate import AccelerateEngine

        return AccelerateEngine()
    from summexp.engines.trainer import TrainerEngine

    return TrainerEngine()
