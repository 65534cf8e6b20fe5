from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.engines.jobs import job, training

from summexp.engines import trainer_arguments
from summexp.engines.trainer_arguments import job_arguments
from summexp.errors import ConfigError


def test_a_process_drives_one_gpu_wherever_there_are_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Upstream would wrap the model in DataParallel, with which it cannot generate."""
    made = trainer_arguments.training_arguments

    def on_eight_gpus(*args: Any, **options: Any) -> Any:
        theirs = made(*args, **options)
        theirs._n_gpu = 8
        return theirs

    monkeypatch.setattr(trainer_arguments, "training_arguments", on_eight_gpus)
    args = job_arguments(job(tmp_path, training=training(per_device_train_batch_size=4)))
    assert args.n_gpu == 1
    assert args.train_batch_size == 4


@pytest.mark.parametrize(
    ("model_type", "searches"),
    [
        ("t5", False),
        ("encoder-decoder", True),
        ("t5gemma2", True),
        ("switch_transformers", True),
        ("nllb-moe", True),
    ],
)
def test_ddp_searches_where_a_batch_leaves_weights_out(
    model_type: str, searches: bool, tmp_path: Path
) -> None:
    assert (
        job_arguments(job(tmp_path, model_type=model_type)).ddp_find_unused_parameters == searches
    )


@pytest.mark.parametrize("model_type", ["encoder-decoder", "t5gemma"])
def test_fsdp_of_a_model_of_two_configs_is_rejected(model_type: str, tmp_path: Path) -> None:
    chosen = job(tmp_path, model_type=model_type, training=training(fsdp=True))
    with pytest.raises(ConfigError, match=f"fsdp: does not support {model_type}, a model of two"):
        job_arguments(chosen)


@pytest.mark.parametrize("model_type", ["switch_transformers", "nllb-moe"])
def test_fsdp_of_separate_experts_is_rejected(model_type: str, tmp_path: Path) -> None:
    chosen = job(tmp_path, model_type=model_type, training=training(fsdp=True))
    with pytest.raises(ConfigError, match=f"fsdp: does not support {model_type}: each process"):
        job_arguments(chosen)
