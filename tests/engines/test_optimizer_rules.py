from __future__ import annotations

import inspect
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.engines.jobs import job, training
from transformers import Seq2SeqTrainingArguments, get_scheduler
from transformers.optimization import TYPE_TO_SCHEDULER_FUNCTION, GreedyLR
from transformers.training_args import OptimizerNames

from summexp.check import check
from summexp.command_line import parse
from summexp.engines.config import EngineConfig
from summexp.engines.optimizer_rules import SCHEDULERS, WITHOUT_OPTIONS, check_optimizer
from summexp.engines.optimizers import build_optimizer
from summexp.engines.registry import build_engine
from summexp.errors import ConfigError


def found(**fields: Any) -> dict[str | None, str]:
    problems = [*check_optimizer(training(**fields))]
    assert all(problem.hint for problem in problems)
    return {problem.key: problem.what for problem in problems}


def test_the_options_of_schedulers_are_upstreams() -> None:
    by_score = {
        "reduce_lr_on_plateau": torch.optim.lr_scheduler.ReduceLROnPlateau,
        "greedy": GreedyLR,
    }
    given = {"optimizer", "num_warmup_steps", "num_training_steps", "last_epoch"}
    theirs = {
        one.value: inspect.signature(by_score.get(one.value, function)).parameters.keys() - given
        for one, function in TYPE_TO_SCHEDULER_FUNCTION.items()
    }
    assert theirs == SCHEDULERS


@pytest.mark.parametrize(
    ("name", "options", "what"),
    [
        ("linear", {}, ""),
        ("linear", {"num_cycles": 2}, "linear has no option 'num_cycles'"),
        ("cosine", {"num_cycle": 2}, "cosine has no option 'num_cycle'"),
        ("cosine", {"num_cycles": "two"}, "num_cycles: 'two' is not a number"),
        ("cosine_with_restarts", {"num_cycles": 2}, ""),
        ("polynomial", {"power": 2.0}, ""),
        ("polynomial", {"lr_end": 0.1}, "lr_end (0.1) is not below"),
        ("inverse_sqrt", {"timescale": 10}, ""),
        ("cosine_with_min_lr", {}, "cosine_with_min_lr needs either min_lr or min_lr_rate"),
        ("cosine_with_min_lr", {"min_lr": 1e-6}, ""),
        ("cosine_with_min_lr", {"min_lr": 1e-6, "min_lr_rate": 0.1}, "and both are set"),
        ("cosine_warmup_with_min_lr", {}, "needs either min_lr or min_lr_rate"),
        ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.1}, ""),
        ("warmup_stable_decay", {}, "warmup_stable_decay needs num_decay_steps"),
        ("warmup_stable_decay", {"num_decay_steps": 2}, ""),
        ("warmup_stable_decay", {"num_decay_steps": 2, "decay_type": "x"}, "decay_type: 'x'"),
        ("reduce_lr_on_plateau", {"factor": 0.5, "mode": "max"}, ""),
        ("reduce_lr_on_plateau", {"mode": "best"}, "mode: 'best' is not one of min, max"),
        ("greedy", {"patience": 2}, ""),
    ],
)
def test_a_scheduler_is_rejected_as_upstream_does(
    name: str, options: dict[str, Any], what: str
) -> None:
    problems = found(
        lr_scheduler_type=name, lr_scheduler_kwargs=options, do_eval=True, eval_strategy="epoch"
    )
    assert (what in problems.get("training.lr_scheduler_kwargs", "")) is bool(problems or not what)
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1e-3)

    def build() -> None:
        schedule = get_scheduler(name, optimizer, 1, 4, scheduler_specific_kwargs=options or None)
        if name not in ("reduce_lr_on_plateau", "greedy"):
            for _ in range(4):
                optimizer.step()
                schedule.step()

    if what:
        assert problems
        with pytest.raises((TypeError, ValueError)):
            build()
    else:
        assert problems == {}
        build()


def arguments(tmp_path: Path, **fields: Any) -> Seq2SeqTrainingArguments:
    return Seq2SeqTrainingArguments(output_dir=str(tmp_path), use_cpu=True, **fields)


@pytest.mark.parametrize(
    ("optimizer", "options"),
    [
        ("sgd", "momentum=0.5,dampening=0,weight_decay=0.1,nesterov=true"),
        ("adagrad", "lr_decay=0.5, weight_decay=0.1, eps=0.5"),
        ("rmsprop", "momentum=0.5,alpha=0.5,eps=0.5,weight_decay=0.1,centered=true"),
    ],
)
def test_the_options_of_optimizers_are_upstreams(
    optimizer: str, options: str, tmp_path: Path
) -> None:
    assert found(optim=optimizer, optim_args=options) == {}
    args = arguments(tmp_path, optim=optimizer, optim_args=options)
    built = build_optimizer(args, [{"params": [torch.nn.Parameter(torch.zeros(1))]}])
    for part in options.replace(" ", "").split(","):
        name, value = part.split("=")
        assert built.defaults[name] == (True if value == "true" else float(value))


@pytest.mark.parametrize(
    ("optimizer", "options", "what"),
    [
        ("sgd", "momentum", "'momentum' is not an option and its value"),
        ("sgd", "momentum=0.9,", "'' is not an option and its value"),
        ("sgd", "momentum=a=b", "'momentum=a=b' is not an option"),
        ("sgd", "momentum=high", "momentum=high is not a number"),
        ("sgd", "momntum=0.9", "sgd has no option 'momntum'"),
        ("rmsprop", "nesterov=true", "rmsprop has no option 'nesterov'"),
        ("adamw_torch", "eps=1e-6", "has no effect on training.optim=adamw_torch"),
    ],
)
def test_wrong_options_of_an_optimizer(optimizer: str, options: str, what: str) -> None:
    assert what in found(optim=optimizer, optim_args=options)["training.optim_args"]


def test_optimizers_without_options_ignore_them(tmp_path: Path) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    for name in WITHOUT_OPTIONS[:2]:
        plain, other = (
            build_optimizer(arguments(tmp_path, optim=name, **more), [{"params": [weight]}])
            for more in ({}, {"optim_args": "eps=0.5"})
        )
        assert plain.defaults == other.defaults


def test_a_package_that_an_optimizer_needs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Those of upstream that fail without a package are those that are found."""
    monkeypatch.setattr("summexp.engines.optimizer_rules.find_spec", lambda _: None)
    needed = {name.value for name in OptimizerNames if "training.optim" in found(optim=name.value)}
    failing = set()
    for name in OptimizerNames:
        try:
            weight = torch.nn.Parameter(torch.zeros(1))
            args = arguments(tmp_path, optim=name.value, optim_target_modules=["x"])
            build_optimizer(args, [{"params": [weight]}])
        except (ImportError, ValueError):
            failing.add(name.value)
    assert failing <= needed
    assert not needed & {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "rmsprop"}
    (what,) = found(optim="lion_8bit").values()
    assert what == "lion_8bit needs the package bitsandbytes, which is not installed"
    (what,) = found(use_liger_kernel=True).values()
    assert what == "true needs the package liger-kernel, which is not installed"


@pytest.mark.parametrize("engine", ["trainer", "accelerate"])
@pytest.mark.parametrize(("steps", "warns"), [(2, True), (1, False), (0, False)])
def test_a_warm_up_longer_than_the_training_is_warned_of(
    engine: str, steps: int, warns: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = training(max_steps=2, per_device_train_batch_size=4, warmup_steps=steps)
    one = job(tmp_path, engine=EngineConfig(name=engine), training=options)
    with caplog.at_level(logging.WARNING, logger="summexp"):
        build_engine(one.engine).fit(one, None)
    assert ("training.warmup_steps (2) are not fewer than the 2 steps" in caplog.text) is warns


def test_all_of_it_is_found_before_anything_is_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("summexp.engines.optimizer_rules.find_spec", lambda _: None)
    words = [
        *("training.optim=lion_8bit", "training.optim_args=x", "training.use_liger_kernel=true"),
        "training.lr_scheduler_type=warmup_stable_decay",
    ]
    with pytest.raises(ConfigError) as caught:
        check(parse(words))
    assert {problem.key for problem in caught.value.problems} == {
        *("training.optim", "training.optim_args", "training.use_liger_kernel"),
        "training.lr_scheduler_kwargs",
    }
    assert check(parse([*words, "training.do_train=false"]))
