"""What a job asks of Slurm follows from its own hardware."""

from __future__ import annotations

from typing import Any

import pytest

from summexp.config.compose import choice_tree
from summexp.launch.slurm.submission import _needs


def needs(*overrides: str) -> dict[str, Any]:
    with choice_tree() as tree:
        composed, problems = tree.compose(["hydra/launcher=slurm", *overrides])
    assert not problems
    return _needs(composed)


@pytest.mark.parametrize(
    ("overrides", "nodes", "gpus", "cores"),
    [
        (("hardware=cpu",), 1, None, 1),
        (("hardware=ddp2_cpu", "hardware.nodes=3"), 3, None, 2),
        (("hardware=ddp8_bf16", "training.dataloader_num_workers=3"), 1, 8, 32),
        (("hardware=gpu", "data.preprocessing_num_workers=6"), 1, 1, 6),
        (("hardware=gpu", "hydra.launcher.gpus_per_node=2"), 1, 2, 1),
        (("hardware=gpu", "hydra.launcher.cpus_per_task=5"), 1, 1, 5),
    ],
)
def test_nodes_gpus_and_cores(
    overrides: tuple[str, ...], nodes: int, gpus: int | None, cores: int
) -> None:
    found = needs(*overrides)
    assert (found["nodes"], found["gpus_per_node"], found["cpus_per_task"]) == (nodes, gpus, cores)
    assert found["srun_args"][0] == f"--cpus-per-task={cores}"


def test_more_parameters_are_added_or_taken_away() -> None:
    assert needs()["additional_parameters"] == {"requeue": True}
    given = "hydra.launcher.additional_parameters={requeue: false, reservation: mine}"
    assert needs(given)["additional_parameters"] == {"reservation": "mine"}
    assert needs("hydra.launcher.srun_args=['--mpi=none']")["srun_args"][-1] == "--mpi=none"
