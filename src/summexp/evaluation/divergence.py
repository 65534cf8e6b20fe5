"""Detection of non-finite metrics, with advice.

Tested in tests/engines/test_divergence.py.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def advice(*, fp16: bool) -> str:
    """Return advice for a loss or weights that are not finite."""
    if fp16:
        return (
            "T5, mT5 and PEGASUS overflow in fp16; train in bf16, which has the range of fp32: "
            "hardware=gpu_bf16 (or training.fp16=false training.bf16=true), in a new output_dir"
        )
    return (
        "Try a lower training.learning_rate in a new output_dir; debug.detect_anomaly=true stops "
        "at the operation that causes it"
    )


def not_finite(metrics: Mapping[str, object]) -> list[str]:
    """Return the names of the metrics that are NaN or infinite."""
    return [
        name
        for name, value in metrics.items()
        if isinstance(value, float) and not math.isfinite(value)
    ]
