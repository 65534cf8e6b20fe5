"""Private and unstable names of accelerate, read in 1.15.

Importing this module is cheap; its functions import accelerate (and so torch) when they are called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator


def uses_torch_xla() -> bool | None:
    """Return whether accelerate uses torch_xla in this process; None if it is not imported yet.

    It decides at import and keeps to it, and has no public name for what it decided.
    """
    imports = sys.modules.get("accelerate.utils.imports")
    return None if imports is None else bool(imports.is_torch_xla_available())


def allow_fsdp_on_cpus() -> None:
    """Let an `Accelerator` that is created next shard on CPUs, where it silently uses DDP.

    It uses FSDP only if this state of the process names another kind of device.
    """
    from accelerate import PartialState
    from accelerate.utils import DistributedType

    state = PartialState()
    if state.distributed_type is DistributedType.MULTI_CPU:
        state.distributed_type = DistributedType.MULTI_GPU


def configure_fsdp(accelerator: Accelerator, layers: Sequence[str]) -> None:
    """Set how `accelerator` will shard; call it before `prepare`.

    Weights and gradients stay in float32 and the forward pass uses autocast, as with DDP. The
    accelerator sets a policy that casts everything to 16 bits when it is created, and the plugin
    has no argument for none.

    Args:
        accelerator: one that uses FSDP.
        layers: class names of the layers to shard one by one, if the user has not named any.
    """
    plugin = accelerator.state.fsdp_plugin
    plugin.mixed_precision_policy = None
    if plugin.transformer_cls_names_to_wrap is None:
        plugin.transformer_cls_names_to_wrap = list(layers)


def save_fsdp(
    accelerator: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path
) -> None:
    """Save the shards of model and optimizer; call it on every rank.

    `Accelerator.save_state` would save more, under names that the Trainer does not read.
    """
    from accelerate.utils import save_fsdp_model, save_fsdp_optimizer

    plugin = accelerator.state.fsdp_plugin
    save_fsdp_model(plugin, accelerator, model, folder)
    save_fsdp_optimizer(plugin, accelerator, optimizer, model, folder)


def load_fsdp(
    accelerator: Accelerator, model: torch.nn.Module, optimizer: torch.optim.Optimizer, folder: Path
) -> None:
    """Load the shards of the optimizer that `save_fsdp` or the Trainer saved, on every rank."""
    from accelerate.utils import load_fsdp_optimizer

    plugin: Any = accelerator.state.fsdp_plugin
    load_fsdp_optimizer(plugin, accelerator, optimizer, model, folder)
