from __future__ import annotations

from typing import Any

import pytest

from summexp.config.compose import choice_tree, conf_dir
from summexp.config.typed import typed_config
from summexp.distributed.config import HardwareConfig
from summexp.errors import ConfigError, Problem
from summexp.options import changed_fields

CHOICES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "auto": ({}, {}),
    "cpu": ({"backend": "cpu"}, {}),
    "mps": ({"backend": "mps"}, {}),
    "gpu": ({"backend": "cuda"}, {}),
    "gpu_bf16": ({"backend": "cuda"}, {"bf16": True}),
    "ddp2_cpu": ({"backend": "cpu", "processes": 2}, {}),
    "ddp8_fp16": ({"backend": "cuda", "processes": 8}, {"fp16": True}),
    "ddp8_bf16": ({"backend": "cuda", "processes": 8}, {"bf16": True}),
    "fsdp8_bf16": ({"backend": "cuda", "processes": 8}, {"bf16": True, "fsdp": True}),
    "deepspeed8_zero2": ({"backend": "cuda", "processes": 8}, {"bf16": True}),
    "deepspeed8_zero3": ({"backend": "cuda", "processes": 8}, {"bf16": True}),
    "tpu8": ({"backend": "xla"}, {"dataloader_drop_last": True, "optim": "adamw_torch"}),
}
"""What each choice of `hardware` sets of hardware.* and of training.*, DeepSpeed's own aside."""


def refusals(**values: Any) -> list[Problem]:
    with pytest.raises(ConfigError) as raised:
        HardwareConfig(**values)
    return raised.value.problems


@pytest.mark.parametrize(
    ("values", "key", "what"),
    [
        ({"processes": 0}, "processes", "must be at least 1, not 0"),
        ({"nodes": 0}, "nodes", "must be at least 1, not 0"),
        ({"backend": "xla", "virtual_devices": 0}, "virtual_devices", "must be at least 1, not 0"),
        ({"grace_seconds": -1}, "grace_seconds", "must be at least 0, not -1"),
        ({"eval_batch_tokens": 0}, "eval_batch_tokens", "must be at least 1, not 0"),
        (
            {"timeout_minutes": 0.0},
            "timeout_minutes",
            "must be above 0 and at most a year, not 0.0",
        ),
        (
            {"backend": "cpu", "virtual_devices": 8},
            "virtual_devices",
            "requires hardware.backend=xla, and hardware.backend is cpu",
        ),
        (
            {"backend": "mps", "processes": 2},
            "processes",
            "is 2, but mps supports one process only",
        ),
        (
            {"backend": "xla", "processes": 8},
            "processes",
            "is 8, but one process drives all cores of a TPU",
        ),
        (
            {"backend": "xla", "nodes": 2},
            "nodes",
            "is 2, but one process drives all cores of a TPU",
        ),
        (
            {"backend": "xla", "eval_batch_tokens": 4096},
            "eval_batch_tokens",
            "gives batches of many shapes, and XLA compiles a program for each shape",
        ),
    ],
)
def test_a_rule_that_is_broken_is_reported(values: dict[str, Any], key: str, what: str) -> None:
    (problem,) = refusals(**values)
    assert (problem.key, problem.what) == (f"hardware.{key}", what)


def test_all_broken_rules_are_reported_at_once() -> None:
    found = refusals(backend="mps", processes=2, nodes=0, virtual_devices=2, timeout_minutes=-1.0)
    assert [problem.key for problem in found] == [
        "hardware.nodes",
        "hardware.timeout_minutes",
        "hardware.virtual_devices",
        "hardware.processes",
    ]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"backend": "xla", "virtual_devices": 8, "processes": 1},
        {"backend": "cuda", "processes": 8, "nodes": 2},
        {"backend": "mps", "processes": 1},
        {"grace_seconds": 0},
    ],
)
def test_what_is_right_is_taken(values: dict[str, Any]) -> None:
    HardwareConfig(**values)


def test_every_choice_is_in_the_table() -> None:
    assert {path.stem for path in conf_dir().glob("hardware/*.yaml")} == set(CHOICES)


@pytest.mark.parametrize("choice", CHOICES)
def test_a_choice_sets_these_keys_and_no_others(choice: str) -> None:
    with choice_tree() as tree:
        plain = typed_config(tree.compose(["hardware=auto"])[0])
        config = typed_config(tree.compose([f"hardware={choice}"])[0])
    hardware, training = CHOICES[choice]
    assert changed_fields(config.hardware) == hardware
    before = changed_fields(plain.training)
    found = {
        name: value
        for name, value in changed_fields(config.training).items()
        if before.get(name) != value
    }
    deepspeed = found.pop("deepspeed", None)
    assert found == training
    assert (deepspeed is not None) == choice.startswith("deepspeed")
    if deepspeed is not None:
        assert deepspeed["zero_optimization"]["stage"] == int(choice[-1])
    assert config.data.pad_to_max_length == (choice == "tpu8")
    assert config.model == plain.model
    assert config.generation == plain.generation
