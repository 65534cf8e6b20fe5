"""Whether DeepSpeed and PyTorch still word the warnings that `summexp.upstream.deepspeed` drops."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import warnings
from importlib.util import find_spec

import pytest

from summexp.upstream.deepspeed import silence_deprecations, silence_missing_accelerator

needs_deepspeed = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="the extra deepspeed is not installed"
)
WORDS = "Setting accelerator to CPU"


def stderr(code: str) -> str:
    """Return what a process that imports DeepSpeed prints, without any accelerator."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    environment.pop("DS_ACCELERATOR", None)
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=True
    )
    return done.stdout + done.stderr


@needs_deepspeed
def test_the_warning_of_a_missing_accelerator_is_dropped() -> None:
    silent = (
        "from summexp.upstream.deepspeed import silence_missing_accelerator as silence; silence();"
    )
    loaded = "from deepspeed.accelerator import get_accelerator; get_accelerator()"
    assert WORDS in stderr(loaded), "DeepSpeed warns in other words, or no more"
    assert WORDS not in stderr(silent + loaded)


def test_other_messages_of_deepspeed_stay(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("DeepSpeed")
    before = list(logger.filters)
    try:
        silence_missing_accelerator()
        logger.warning("%s. If you have GPU", WORDS)
        logger.warning("something else")
    finally:
        logger.filters = before
    assert caplog.messages == ["something else"]


def test_only_deprecations_of_torch_distributed_are_dropped() -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence_deprecations()
        for name in ("torch.distributed._all_gather_base", "torch.other"):
            warnings.warn(f"`{name}` is deprecated", FutureWarning, stacklevel=1)
    assert [str(one.message) for one in caught] == ["`torch.other` is deprecated"]
