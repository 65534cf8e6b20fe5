"""Whether accelerate still has what `summexp.upstream.accelerate` leans on."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from tests import forked
from torch import nn
from torch.distributed.tensor import DTensor

from summexp.upstream.accelerate import (
    allow_fsdp_on_cpus,
    configure_fsdp,
    load_fsdp,
    save_fsdp,
    uses_torch_xla,
)


def test_what_it_decided_about_torch_xla_is_known_once_it_is_imported() -> None:
    code = (
        "from summexp.upstream.accelerate import uses_torch_xla as uses; import sys; "
        "before = uses(); print(before, 'torch' in sys.modules); import accelerate; print(uses())"
    )
    environment = {**os.environ, "USE_TORCH_XLA": "0"}
    printed = subprocess.check_output([sys.executable, "-c", code], env=environment, text=True)
    assert printed.split() == ["None", "False", "False"]
    assert uses_torch_xla() is False


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(4, 4)

    def forward(self, batch: torch.Tensor) -> torch.Tensor:
        return self.inner(batch)


def two_layers() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(Layer(), Layer())


def with_fsdp() -> Accelerator:
    plugin = FullyShardedDataParallelPlugin(
        fsdp_version=2, auto_wrap_policy="TRANSFORMER_BASED_WRAP"
    )
    return Accelerator(mixed_precision="bf16", fsdp_plugin=plugin)


def use(accelerator: Accelerator) -> tuple[nn.Module, torch.optim.Optimizer]:
    """Take one step."""
    model = two_layers()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.1)
    model, optimizer = accelerator.prepare(model, optimizer)
    accelerator.backward(model(torch.ones(2, 4)).sum())
    optimizer.step()
    return model, optimizer


def moments(optimizer: torch.optim.Optimizer) -> list[torch.Tensor]:
    return [one["exp_avg"].full_tensor() for one in optimizer.state.values()]


def rank(number: int, port: int, folder: str) -> None:
    os.environ.update(
        RANK=str(number),
        LOCAL_RANK=str(number),
        WORLD_SIZE="2",
        LOCAL_WORLD_SIZE="2",
        MASTER_ADDR="127.0.0.1",
        MASTER_PORT=str(port),
    )
    torch.set_num_threads(1)
    state = PartialState(cpu=True)
    found: dict[str, Any] = {"before": str(state.distributed_type)}
    allow_fsdp_on_cpus()
    accelerator = with_fsdp()
    found["now"] = str(accelerator.distributed_type)
    found["16 bits"] = accelerator.state.fsdp_plugin.mixed_precision_policy is not None
    configure_fsdp(accelerator, ["Layer"])
    model, optimizer = use(accelerator)
    found["shards"] = sorted(
        name for name, one in model.named_modules() if type(one).__name__.startswith("FSDP")
    )
    found["types"] = sorted({str(weight.dtype) for weight in model.parameters()})
    found["gradients"] = sorted({str(weight.grad.dtype) for weight in model.parameters()})
    found["split"] = all(isinstance(weight, DTensor) for weight in model.parameters())
    save_fsdp(accelerator, model, optimizer, Path(folder))
    before = moments(optimizer)
    accelerator.backward(model(torch.ones(2, 4)).sum())
    optimizer.step()
    found["changed"] = not all(map(torch.equal, before, moments(optimizer)))
    load_fsdp(accelerator, model, optimizer, Path(folder))
    found["restored"] = all(map(torch.equal, before, moments(optimizer)))
    accelerator.wait_for_everyone()
    if number == 0:
        Path(folder, "found.json").write_text(json.dumps(found))
    accelerator.end_training()


@pytest.fixture(scope="module")
def sharded(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    """What two ranks on the CPU found of a model that they shard."""
    folder = tmp_path_factory.mktemp("sharded")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    started = [forked.call(rank, number, port, str(folder)) for number in range(2)]
    for process in started:
        process.join(120)
        process.kill()
    assert [process.exitcode for process in started] == [0, 0]
    return folder, json.loads((folder / "found.json").read_text())


def test_it_shards_on_cpus_if_their_kind_is_hidden(sharded: tuple[Path, dict[str, Any]]) -> None:
    _, found = sharded
    assert found["before"] == str(DistributedType.MULTI_CPU)
    assert found["now"] == str(DistributedType.FSDP)
    assert found["split"]


def test_named_layers_are_sharded_one_by_one(sharded: tuple[Path, dict[str, Any]]) -> None:
    _, found = sharded
    assert found["shards"] == ["", "0", "1"]


def test_nothing_is_cast_once_the_policy_is_none(sharded: tuple[Path, dict[str, Any]]) -> None:
    _, found = sharded
    assert found["16 bits"], "accelerate sets no policy any more: configure_fsdp need not clear it"
    assert found["types"] == found["gradients"] == ["torch.float32"]


def test_shards_are_saved_as_the_trainer_saves_them(sharded: tuple[Path, dict[str, Any]]) -> None:
    folder, found = sharded
    names = {path.name for path in folder.iterdir() if path.is_dir()}
    assert names == {"pytorch_model_fsdp_0", "optimizer_0"}
    assert found["changed"]
    assert found["restored"]
