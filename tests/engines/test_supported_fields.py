"""The fields that `engine=accelerate` supports, with the same effect as in the Trainer."""

from __future__ import annotations

import copy
import math
import os
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import fields
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.jobs import job, run_config, training
from tests.engines.outcomes import ENGINES, Outcome, assert_same, fit
from tests.modeling.tiny_models import Tiny, config, make
from torch._dynamo.utils import counters

from summexp.config.aliases import ALIASES, NO_EFFECT
from summexp.config.cross_section_rules import rule_problems
from summexp.engines.accelerator import build_accelerator
from summexp.engines.config import EngineConfig
from summexp.engines.generated.training_config import TrainingConfig
from summexp.engines.supported_fields import REJECTED, rejected
from summexp.engines.trainer_arguments import job_arguments
from summexp.options import declared_choices

EACH_STEP: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 1}
EACH_EPOCH: dict[str, Any] = {"eval_strategy": "epoch"}
BY_SCORE = {**EACH_STEP, "learning_rate": 0.01}

SCHEDULES: dict[str, dict[str, Any]] = {
    "linear": {"warmup_steps": 2},
    "cosine": {"warmup_steps": 0.34, "lr_scheduler_kwargs": {"num_cycles": 1.5}},
    "cosine_with_restarts": {"lr_scheduler_kwargs": {"num_cycles": 3}},
    "polynomial": {"lr_scheduler_kwargs": {"power": 2.0, "lr_end": 1e-4}},
    "constant": {},
    "constant_with_warmup": {"warmup_steps": 3},
    "inverse_sqrt": {"warmup_steps": 2, "lr_scheduler_kwargs": {"timescale": 3}},
    "reduce_lr_on_plateau": {**BY_SCORE, "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5}},
    "greedy": {**BY_SCORE, "lr_scheduler_kwargs": {"patience": 0, "factor": 0.5}},
    "cosine_with_min_lr": {"lr_scheduler_kwargs": {"min_lr": 3e-4}},
    "cosine_warmup_with_min_lr": {
        "warmup_steps": 2,
        "lr_scheduler_kwargs": {"min_lr_rate": 0.2, "warmup_lr_rate": 0.1},
    },
    "warmup_stable_decay": {
        "warmup_steps": 1,
        "lr_scheduler_kwargs": {"num_decay_steps": 3, "min_lr_ratio": 0.1},
    },
}

CASES: dict[str, dict[str, Any]] = {
    **{name: {"lr_scheduler_type": name, **more} for name, more in SCHEDULES.items()},
    "max_steps in an epoch": {"max_steps": 4},
    "max_steps over epochs": {"max_steps": 7, "num_train_epochs": 1},
    "half an epoch": {"num_train_epochs": 1.5},
    "no epoch": {"num_train_epochs": 0},
    "accumulation": {"per_device_train_batch_size": 2, "gradient_accumulation_steps": 3},
    "one batch": {"per_device_train_batch_size": 16},
    "learning rate": {"learning_rate": 5e-3},
    "weight decay": {"weight_decay": 0.5},
    "adam": {"adam_beta1": 0.5, "adam_beta2": 0.9, "adam_epsilon": 1e-3},
    "adafactor": {"optim": "adafactor"},
    "sgd": {"optim": "sgd", "optim_args": "momentum=0.9, nesterov=true", "weight_decay": 0.1},
    "adagrad": {"optim": "adagrad"},
    "rmsprop": {"optim": "rmsprop", "optim_args": "momentum=0.5"},
    "clipped": {"max_grad_norm": 0.01, "optim": "sgd"},
    "not clipped": {"max_grad_norm": 0, "optim": "sgd", "learning_rate": 1.0},
    "smoothing": {"label_smoothing_factor": 0.2},
    "bf16": {"bf16": True},
    "data_seed": {"data_seed": 7},
    "drop_last": {"dataloader_drop_last": True},
    "drop_last of accumulated": {
        "dataloader_drop_last": True,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 3,
    },
    "workers": {"dataloader_num_workers": 1, "max_steps": 4},
    "logging by epoch": {"logging_strategy": "epoch"},
    "logging never": {"logging_strategy": "no"},
    "logging the first": {"logging_steps": 4, "logging_first_step": True},
    "logging the first alone": {"logging_strategy": "no", "logging_first_step": True},
    "logging a share": {"logging_steps": 0.3},
    "evaluating by step": {"eval_strategy": "steps", "eval_steps": 4},
    "evaluating by logging_steps": {"eval_strategy": "steps", "logging_steps": 5},
    "evaluating by epoch": EACH_EPOCH,
    "evaluating half an epoch": {**EACH_EPOCH, "num_train_epochs": 1.5},
    "evaluating a share": {"eval_strategy": "steps", "eval_steps": 0.3},
    "evaluating late by step": {**EACH_STEP, "eval_delay": 3},
    "evaluating late by epoch": {**EACH_EPOCH, "eval_delay": 2},
    "evaluating on start": {**EACH_EPOCH, "eval_on_start": True},
    "evaluating on start alone": {"eval_on_start": True},
    "a start that is the best": {
        **BY_SCORE,
        "lr_scheduler_type": "reduce_lr_on_plateau",
        "lr_scheduler_kwargs": {"mode": "max", "patience": 0, "factor": 0.5},
        "eval_on_start": True,
        "greater_is_better": True,
        "save_strategy": "best",
    },
    "saving by step": {"save_strategy": "steps", "save_steps": 4},
    "saving a share": {"save_strategy": "steps", "save_steps": 0.4},
    "saving by epoch": {"save_strategy": "epoch"},
    "saving half an epoch": {"save_strategy": "epoch", "num_train_epochs": 1.5},
    "saving the best": {**EACH_STEP, "save_strategy": "best", "metric_for_best_model": "loss"},
    "saving the best by epoch": {
        **EACH_EPOCH,
        "num_train_epochs": 3,
        "save_strategy": "best",
        "metric_for_best_model": "eval_loss",
        "load_best_model_at_end": True,
    },
    "saving two": {"save_strategy": "steps", "save_steps": 2, "save_total_limit": 2},
    "saving the model alone": {"save_strategy": "steps", "save_steps": 3, "save_only_model": True},
    "the best of two": {
        **EACH_STEP,
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 2,
        "load_best_model_at_end": True,
    },
    "the best alone": {
        **EACH_STEP,
        "save_strategy": "steps",
        "save_steps": 2,
        "save_total_limit": 1,
        "load_best_model_at_end": True,
    },
    "the highest": {
        **EACH_STEP,
        "save_strategy": "steps",
        "save_steps": 1,
        "metric_for_best_model": "loss",
        "greater_is_better": True,
        "load_best_model_at_end": True,
    },
    "the highest by name": {
        **EACH_STEP,
        "save_strategy": "steps",
        "save_steps": 1,
        "save_total_limit": 3,
        "metric_for_best_model": "rougeL",
        "load_best_model_at_end": True,
    },
    "a best that is not saved": {**EACH_STEP, "metric_for_best_model": "loss"},
}


@pytest.fixture(scope="module")
def tiny() -> Tiny:
    return make(config("t5"))


@pytest.fixture(scope="module")
def plain(tiny: Tiny, tmp_path_factory: pytest.TempPathFactory) -> Outcome:
    """A training in which every field has its usual value."""
    return fit("accelerate", tmp_path_factory.mktemp("plain") / "run", tiny, {})


@pytest.mark.parametrize("case", CASES)
def test_a_field_means_what_it_means_to_the_trainer(
    case: str, tiny: Tiny, plain: Outcome, tmp_path: Path
) -> None:
    theirs = fit("trainer", tmp_path / "trainer", tiny, CASES[case])
    mine = fit("accelerate", tmp_path / "accelerate", tiny, CASES[case])
    assert_same(mine, theirs)
    # It means something: the value that was chosen changes what comes of the training.
    assert (mine.history, mine.files) != (plain.history, plain.files)


def test_every_schedule_is_among_them() -> None:
    choices = dict(declared_choices(TrainingConfig))
    assert SCHEDULES.keys() == set(choices["lr_scheduler_type"])


SILENT: dict[str, tuple[dict[str, Any], Callable[[Any], object]]] = {
    "activation_checkpointing": (
        {
            "activation_checkpointing": True,
            "activation_checkpointing_kwargs": {"use_reentrant": False, "every_n_layers": 2},
        },
        lambda model: model.is_activation_checkpointing,
    ),
    "its old name": (
        {
            "gradient_checkpointing": True,
            "gradient_checkpointing_kwargs": {"use_reentrant": True},
        },
        lambda model: model.is_activation_checkpointing,
    ),
    "use_cache": ({"use_cache": True}, lambda model: model.config.use_cache),
    "adamw_torch": ({"optim": "adamw_torch"}, bool),
}
"""What may not change the numbers, with a sign of it that a model bears."""


@pytest.mark.parametrize("case", SILENT)
def test_a_field_without_a_sign_in_the_numbers(case: str, tiny: Tiny, tmp_path: Path) -> None:
    options, sign = SILENT[case]
    outcomes = [fit(name, tmp_path / name, tiny, options) for name in ENGINES]
    assert_same(*outcomes)
    assert all(sign(one.model) for one in outcomes)


def test_without_it_there_is_no_such_sign(plain: Outcome) -> None:
    assert not plain.model.is_activation_checkpointing
    assert not plain.model.config.use_cache


def test_which_layers_are_checkpointed(tiny: Tiny, tmp_path: Path) -> None:
    options = {
        "activation_checkpointing": True,
        "activation_checkpointing_kwargs": {"every_n_layers": 2, "use_reentrant": False},
        "max_steps": 1,
    }
    found = []
    for name in ENGINES:
        model = fit(name, tmp_path / name, tiny, options).model
        found.append([getattr(one, "gradient_checkpointing", None) for one in model.modules()])
    assert found[0] == found[1]
    assert True in found[0]


@pytest.fixture
def usual_determinism(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, value in os.environ.items():
        monkeypatch.setenv(name, value)
    yield
    torch.use_deterministic_algorithms(False)
    torch.backends.cudnn.deterministic = False


@pytest.mark.usefixtures("usual_determinism")
def test_full_determinism(tiny: Tiny, plain: Outcome, tmp_path: Path) -> None:
    mine = fit("accelerate", tmp_path / "run", tiny, {"full_determinism": True})
    assert torch.are_deterministic_algorithms_enabled()
    assert mine.history == plain.history


def test_a_compiled_model_has_the_same_numbers(tiny: Tiny, plain: Outcome, tmp_path: Path) -> None:
    options = {"torch_compile": True, "torch_compile_backend": "eager", "max_steps": 1}
    before = counters["frames"]["ok"]
    mine = fit("accelerate", tmp_path / "run", tiny, options)
    assert counters["frames"]["ok"] > before
    assert mine.history[0]["loss"] == pytest.approx(plain.history[0]["loss"], rel=1e-6)
    assert mine.weights.keys() == plain.weights.keys()


def test_how_a_model_is_compiled(tiny: Tiny, tmp_path: Path) -> None:
    one = job(tmp_path, tiny=tiny, training=training(torch_compile_mode="max-autotune"))
    plugin = build_accelerator(one.model, job_arguments(one)).state.dynamo_plugin
    assert (plugin.backend, plugin.mode) == ("INDUCTOR", "max-autotune")


class Broken:
    """Makes the loss of the n-th batch infinite, and keeps it out of the gradients."""

    def __init__(self, number: int) -> None:
        self.left = number

    def __call__(self, _module: Any, _inputs: Any, output: Any) -> None:
        self.left -= 1
        if not self.left:
            output.logits = torch.full_like(output.logits, torch.inf).requires_grad_()


def fit_broken(engine: str, folder: Path, tiny: Tiny, *, hides: bool) -> Outcome:
    options = {
        "logging_steps": 3,
        "logging_nan_inf_filter": hides,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 2,
    }
    broken = copy.deepcopy(tiny)
    broken.model.register_forward_hook(Broken(3))
    return fit(engine, folder, broken, options)


def test_a_loss_that_is_not_finite_is_left_out_of_the_log(tiny: Tiny, tmp_path: Path) -> None:
    outcomes = [fit_broken(name, tmp_path / name, tiny, hides=True) for name in ENGINES]
    assert_same(*outcomes)
    losses = [entry["loss"] for entry in outcomes[1].history if "loss" in entry]
    assert all(map(math.isfinite, losses))


def test_a_loss_that_is_not_finite_is_logged_where_it_is_not_left_out(
    tiny: Tiny, tmp_path: Path
) -> None:
    """Upstream (5.23) goes on counting from it, so that each later loss is not a number."""
    mine = fit_broken("accelerate", tmp_path / "run", tiny, hides=False)
    losses = [entry["loss"] for entry in mine.history if "loss" in entry]
    assert [loss is None for loss in losses] == [True, False]


ELSEWHERE = {
    "of another device": ("fp16", "tf32"),
    "in test_batches": (
        "dataloader_pin_memory",
        "dataloader_in_order",
        "dataloader_persistent_workers",
        "dataloader_prefetch_factor",
        "dataloader_multiprocessing_context",
    ),
    "in a test above": (
        "full_determinism",
        "torch_compile",
        "torch_compile_backend",
        "torch_compile_mode",
        "logging_nan_inf_filter",
    ),
    "in the tests of evaluation, which is every engine's": ("bf16_full_eval", "fp16_full_eval"),
    "in those of several processes": (
        "ddp_find_unused_parameters",
        "ddp_bucket_cap_mb",
        "ddp_broadcast_buffers",
        "ddp_static_graph",
        "fsdp",
        "fsdp_config",
        "deepspeed",
        "save_on_each_node",
    ),
    "in test_accelerate": ("resume_from_checkpoint",),
    "in those of runs": (
        "do_train",
        "do_eval",
        "do_predict",
        "per_device_eval_batch_size",
        "predict_with_generate",
        "prediction_loss_only",
        "push_to_hub",
        "hub_model_id",
        "hub_strategy",
        "hub_private_repo",
        "hub_revision",
    ),
}
"""Fields that no case above has, by where they are tested."""


def test_every_field_is_tested_or_rejected() -> None:
    cases = chain(CASES.values(), (options for options, _ in SILENT.values()))
    tested = set(chain.from_iterable(cases))
    keys = [*ALIASES, *NO_EFFECT]
    known = [key.removeprefix("training.") for key in keys if key.startswith("training.")]
    elsewhere = chain.from_iterable(ELSEWHERE.values())
    counted = Counter([*tested, *elsewhere, *REJECTED, *known])
    assert counted == Counter(spec.name for spec in fields(TrainingConfig))


OTHER_VALUES: dict[str, Any] = {
    "optim_target_modules": "all-linear",
    "average_tokens_across_devices": False,
    "use_liger_kernel": True,
    "liger_kernel_config": {"rope": True},
    "neftune_noise_alpha": 5.0,
    "torch_empty_cache_steps": 10,
    "auto_find_batch_size": True,
    "include_num_input_tokens_seen": "all",
    "skip_memory_metrics": False,
    "debug": "underflow_overflow",
    "log_on_each_node": False,
    "log_level": "error",
    "log_level_replica": "error",
    "trackio_space_id": "me/space",
    "trackio_bucket_id": "me/bucket",
    "trackio_static_space_id": False,
    "enable_jit_checkpoint": True,
    "hub_token": "none",
    "hub_always_push": True,
    "ignore_data_skip": True,
    "restore_callback_states_from_checkpoint": True,
    "accelerator_config": {"split_batches": True},
    "parallelism_config": {"dp_shard_size": 2},
    "train_sampling_strategy": "sequential",
    "length_column_name": "size",
}


def refusals(engine: dict[str, Any], options: dict[str, Any]) -> list[str | None]:
    chosen = run_config(engine=EngineConfig(**engine), training=TrainingConfig(**options))
    found = [problem.key for problem in rejected(chosen.training, chosen.engine)]
    assert set(found) <= {problem.key for problem in rule_problems(chosen)}
    return found


@pytest.mark.parametrize("name", REJECTED)
def test_a_field_that_is_not_supported_is_rejected(name: str) -> None:
    options = {name: OTHER_VALUES[name]}
    assert refusals({"name": "accelerate"}, options) == [f"training.{name}"]
    assert refusals({"name": "trainer"}, options) == []


@pytest.mark.parametrize(
    ("engine", "options", "key"),
    [
        ({"sampler": "upstream"}, {}, "engine.sampler"),
        ({"loss": "upstream"}, {}, "engine.loss"),
        ({}, {"optim": "galore_adamw"}, "training.optim"),
        ({}, {"optim": "paged_adamw_8bit"}, "training.optim"),
        ({}, {"optim": "apollo_adamw_layerwise"}, "training.optim"),
        ({}, {"optim": "lomo"}, "training.optim"),
        ({}, {"optim": "adalomo"}, "training.optim"),
        ({}, {"optim": "schedule_free_adamw"}, "training.optim"),
        ({}, {"deepspeed": {"optimizer": {"type": "Adam"}}}, "training.deepspeed"),
        ({}, {"deepspeed": {"scheduler": {"type": "WarmupLR"}}}, "training.deepspeed"),
        ({}, {"push_to_hub": True}, "training.hub_strategy"),
        ({}, {"push_to_hub": True, "hub_strategy": "checkpoint"}, "training.hub_strategy"),
    ],
)
def test_what_else_the_loop_does_not_have_is_rejected(
    engine: dict[str, Any], options: dict[str, Any], key: str
) -> None:
    assert refusals({"name": "accelerate", **engine}, options) == [key]
    assert refusals({"name": "trainer", **engine}, options) == []


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"optim": "adafactor"},
        {"push_to_hub": True, "hub_strategy": "end"},
        {"hub_strategy": "checkpoint"},
    ],
)
def test_what_the_loop_has_is_not_rejected(options: dict[str, Any]) -> None:
    assert refusals({"name": "accelerate"}, options) == []
