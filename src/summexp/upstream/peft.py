"""Private and unstable names of peft, read in 0.21.

Imports peft, which is an extra: import this module where an adapter is at hand.
"""

from __future__ import annotations

from peft.tuners.tuners_utils import BaseTunerLayer
from peft.utils import ModulesToSaveWrapper
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING
from torch import nn


def usual_targets(model_type: str) -> list[str] | None:
    """Return the modules that peft adapts in an architecture by default, or None if it knows none.

    peft reads its table when the adapter is added, too late to check the modules before the weights
    are loaded.
    """
    known = TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING.get(model_type)
    # Some are a regular expression.
    return list(known) if isinstance(known, list) else None


def merge_layers(model: nn.Module, name: str) -> None:
    """Merge the adapter `name` into the weights, and put the model's own layers back in place.

    It does what `LoraModel.merge_and_unload` does, which is a method of the tuner. The model does
    not have it any more: `inject_adapter_in_model` drops it.
    """
    for path, module in [*model.named_modules()]:
        if isinstance(module, BaseTunerLayer):
            module.merge()
            model.set_submodule(path, module.get_base_layer())
        elif isinstance(module, ModulesToSaveWrapper):
            model.set_submodule(path, module.modules_to_save[name])
