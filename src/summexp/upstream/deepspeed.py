"""Warnings of DeepSpeed, told by their texts, read in 0.19.

Tested in tests/upstream/test_deepspeed.py.
"""

from __future__ import annotations

import logging
import warnings


def silence_missing_accelerator() -> None:
    """Drop the warning of a missing accelerator.

    accelerate imports DeepSpeed for every run, if it is installed.
    """
    logging.getLogger("DeepSpeed").addFilter(_is_not_accelerator_warning)


def _is_not_accelerator_warning(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("Setting accelerator to CPU")


def silence_deprecations() -> None:
    """Drop PyTorch's warnings of deprecated functions that DeepSpeed calls."""
    warnings.filterwarnings("ignore", r"`torch\.distributed\.\w+` is deprecated", FutureWarning)
