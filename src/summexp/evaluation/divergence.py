"""Metrics that are not finite, and what to try then.

Tested in tests/engines/test_divergence.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def advice(*, fp16: bool) -> str:
    """Return what to try where a loss or the weights are not finite."""
    if fp16:
        return (
            "T5 and its relatives overflow in fp16; train in bf16, which has the range of fp32: "
            "hardware=gpu_bf16 (or training.fp16=false training.bf16=true), in a new output_dir"
        )
    return (
        "Try a lower training.learning_rate in a new output_dir; debug.detect_anomaly=true stops "
        "at the operation that it comes from"
    )


def not_finite(metrics: Mapping[str, object]) -> list[str]:
    """Return the names of the metrics that are NaN or infinite."""
    return [
        name
        for name, value in metrics.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
