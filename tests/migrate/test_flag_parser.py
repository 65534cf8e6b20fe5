"""A JSON file of flags; `test_flags.py` has those of a command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.migrate.composed import translated, values_of

from summexp.errors import ConfigError


def test_a_json_file_of_arguments() -> None:
    arguments = {
        "model_name_or_path": "google-t5/t5-base",
        "dataset_name": "samsum",
        "do_train": True,
        "num_train_epochs": 2,
        "report_to": ["tensorboard"],
        "lr_scheduler_kwargs": {"num_cycles": 3},
        "output_dir": "o p",
        "max_eval_samples": None,
    }
    Path("args.json").write_text(json.dumps(arguments), encoding="utf-8")
    found = translated("torchrun --nproc_per_node 8 run_summarization.py args.json")
    values = {
        "model.name_or_path": "google-t5/t5-base",
        "model.source_prefix": None,
        "data.name": "knkarthick/samsum",
        "training.num_train_epochs": 2.0,
        "training.do_train": True,
        "training.do_eval": False,
        "tracking.trackers": ["tensorboard"],
        "training.lr_scheduler_kwargs": {"num_cycles": 3},
        "output_dir": "o p",
        "hardware.processes": 8,
    }
    assert values_of(found, values) == values
    Path("args.json").write_text('{"model_name_or_path": "m", "lerning_rate": 1}')
    with pytest.raises(ConfigError, match="--lerning_rate"):
        translated("python run_summarization.py args.json")
