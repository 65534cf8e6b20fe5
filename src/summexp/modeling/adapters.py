"""LoRA adapters with peft: added before training and merged into the weights after it.

The adapter is put into the model's own layers, which stay a `PreTrainedModel` with other names: of
a layer `q`, the weight is `q.base_layer.weight` beside `q.lora_A.default.weight` and so on. To the
engines it is a model like any other, of which most weights are frozen, and a checkpoint holds all
of it. Only `save_trained` (engines/checkpoint.py) knows that there is something to merge.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from safetensors.torch import save_file
from torch import nn
from transformers import PreTrainedModel, set_seed

from summexp.errors import ConfigError, Problem, nearest
from summexp.modeling.config import ModelConfig, PeftConfig
from summexp.permissions import follow_umask
from summexp.upstream.transformers import TransposedLinear

if TYPE_CHECKING:
    from peft import LoraConfig

log = logging.getLogger(__name__)

ADAPTER_FOLDER = "adapter"
"""Folder of the unmerged adapter, in the run folder."""
_NAME = "default"
_EVERY_LINEAR = "all-linear"
_LINEAR = (nn.Linear, TransposedLinear)


def lora_config(config: PeftConfig, model: PreTrainedModel, base: ModelConfig) -> LoraConfig:
    """Return peft's config for `model`, whose weights are not looked at: they may be on `meta`.

    It names the model that the adapter belongs to, of a folder only the name: where that lies says
    nothing to others. Random weights have none.

    Raises:
        ConfigError: the model has no such modules, or not of a kind that LoRA can change.
    """
    from peft import LoraConfig, TaskType

    targets = config.target_modules or _usual_targets(model)
    problems = [*_target_problems(model, targets), *_saved_problems(model, config, targets)]
    if problems:
        raise ConfigError(problems)
    return LoraConfig(
        r=config.rank,
        # peft annotates an int, and divides it by the rank.
        lora_alpha=cast("Any", config.alpha),
        lora_dropout=config.dropout,
        target_modules=_EVERY_LINEAR if targets == [_EVERY_LINEAR] else targets,
        modules_to_save=config.modules_to_save or None,
        bias=cast("Any", config.bias),
        use_rslora=config.use_rslora,
        use_dora=config.use_dora,
        task_type=TaskType.SEQ_2_SEQ_LM if model.config.is_encoder_decoder else TaskType.CAUSAL_LM,
        # GPT-2's layers keep their weights the other way round; peft would say that it noticed.
        fan_in_fan_out=any(isinstance(module, TransposedLinear) for module in model.modules()),
        base_model_name_or_path=_base_name(base),
        revision=base.revision,
    )


def _base_name(base: ModelConfig) -> str | None:
    if base.init == "random" or base.name_or_path is None:
        return None
    folder = Path(base.name_or_path)
    return folder.name if folder.is_dir() else base.name_or_path


def add_adapter(model: PreTrainedModel, config: LoraConfig, seed: int) -> None:
    """Put a new adapter into `model` and freeze the rest; the outputs stay what they were.

    Args:
        model: changed in place.
        config: see `lora_config`.
        seed: of the adapter's first weights, which depend on nothing else.
    """
    from peft import inject_adapter_in_model
    from peft.functional import cast_adapter_dtype

    set_seed(seed)
    inject_adapter_in_model(config, model, _NAME)
    # As `get_peft_model` has it: steps of a small learning rate are lost in 16 bits.
    cast_adapter_dtype(model, _NAME)
    log.info("LoRA of rank %d on %s", config.r, ", ".join(adapted_modules(model)))


def has_adapter(model: PreTrainedModel) -> bool:
    """Return whether an adapter was added to `model`, and not yet merged."""
    return bool(getattr(model, "peft_config", None))


def adapted_modules(model: PreTrainedModel) -> list[str]:
    """Return the names of the modules that the adapter changes."""
    config = _config(model)
    targets = config.target_modules or ()
    return [targets] if isinstance(targets, str) else sorted({*targets} - {*_saved(config)})


def _config(model: PreTrainedModel) -> LoraConfig:
    # transformers declares only what it reads of it.
    return cast("LoraConfig", model.peft_config[_NAME])


def _saved(config: LoraConfig) -> Sequence[str]:
    """Return the modules that are trained whole, and of which an adapter changes nothing."""
    return config.modules_to_save or ()


def adapter_weights(model: PreTrainedModel) -> int:
    """Return how many weights of `model` are not there any more when the adapter is merged."""
    return sum(weight.numel() for name, weight in model.named_parameters() if _is_added(name))


def save_adapter(model: PreTrainedModel, folder: Path) -> None:
    """Write the adapter of `model` so that `PeftModel.from_pretrained` loads it on its base."""
    from peft import get_peft_model_state_dict

    # "auto" would ask the Hub about the base model.
    state = get_peft_model_state_dict(model, adapter_name=_NAME, save_embedding_layers=False)
    # peft expects the names that a model has inside its own wrapper.
    tensors = {f"base_model.model.{name}": one.cpu().contiguous() for name, one in state.items()}
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    follow_umask(folder)
    config = dataclasses.replace(_config(model), inference_mode=True)
    # peft keeps a set, whose order changes from process to process.
    config.target_modules = adapted_modules(model)
    config.save_pretrained(str(folder))


def merge_adapter(model: PreTrainedModel) -> None:
    """Add the adapter's changes to the weights of `model`, which then is of its own class again."""
    from summexp.upstream.peft import merge_layers

    merge_layers(model, _NAME)
    del model.peft_config


def _is_added(name: str) -> bool:
    return ".lora_" in name or ".modules_to_save." in name


def _usual_targets(model: PreTrainedModel) -> list[str]:
    """Return the modules to adapt: peft's own choice for the architecture where it has one.

    Else they are queries and values of every attention, the choice of LoRA's authors (arXiv
    2106.09685, 7.1).
    """
    from summexp.upstream.peft import usual_targets

    found = usual_targets(model.config.model_type) or sorted(set(_queries_and_values(model)))
    if found:
        return found
    raise ConfigError.of(
        key="peft.target_modules",
        what=f"unknown attention modules of {type(model).__name__} are queries and values",
        hint=f"Name some of: {', '.join(_linear_names(model))}; or {_EVERY_LINEAR}.",
    )


def _queries_and_values(model: PreTrainedModel) -> Iterator[str]:
    for module in model.modules():
        if "attention" in type(module).__name__.lower():
            for name, child in module.named_children():
                if isinstance(child, _LINEAR) and name.startswith(("q", "v")):
                    yield name


def _linear_names(model: PreTrainedModel) -> list[str]:
    named = model.named_modules()
    return sorted({name.rpartition(".")[2] for name, one in named if isinstance(one, _LINEAR)})


def _named(model: PreTrainedModel, end: str) -> dict[str, nn.Module]:
    """Return the modules whose name is `end` or ends with it, as peft looks for them."""
    return {
        name: module
        for name, module in model.named_modules()
        if name == end or name.endswith(f".{end}")
    }


def _target_problems(model: PreTrainedModel, targets: list[str]) -> Iterator[Problem]:
    key = "peft.target_modules"
    linear = _linear_names(model)
    for target in targets:
        if target == _EVERY_LINEAR:
            if len(targets) > 1:
                yield Problem(
                    key=key, what=f"{target} must be the only value: it includes the others"
                )
            continue
        found = _named(model, target)
        names = f"Its modules: {', '.join(linear)}."
        if not found:
            what = f"{type(model).__name__} has no module {target!r}"
            yield Problem(key=key, what=what, hint=nearest(target, linear) or names)
        elif not all(isinstance(module, _LINEAR) for module in found.values()):
            what = f"{target!r} is not a linear layer, and LoRA only adapts linear layers"
            yield Problem(key=key, what=what, hint=names)
        elif tied := _tied(model, found):
            yield Problem(key=key, what=tied, hint="Remove it.")


def _saved_problems(
    model: PreTrainedModel, config: PeftConfig, targets: list[str]
) -> Iterator[Problem]:
    key = "peft.modules_to_save"
    for saved in config.modules_to_save:
        found = _named(model, saved)
        inside = {part for module in found.values() for part, _ in module.named_modules()}
        ends = {part.rpartition(".")[2] for part in inside}
        if not found:
            children = sorted({name.rpartition(".")[2] for name, _ in model.named_modules()})
            what = f"{type(model).__name__} has no module {saved!r}"
            yield Problem(key=key, what=what, hint=nearest(saved, children))
        elif saved in targets or ends & {target.rpartition(".")[2] for target in targets}:
            what = f"{saved!r} contains modules that the adapter already changes"
            hint = "Remove it, or name others in peft.target_modules."
            yield Problem(key=key, what=what, hint=hint)
        elif tied := _tied(model, found):
            yield Problem(key=key, what=tied, hint="Remove it.")


def _tied(model: PreTrainedModel, modules: dict[str, nn.Module]) -> str | None:
    """Return which weight of `modules` is another module's too: only one would change."""
    homes: dict[int, set[str]] = {}
    for name, weight in model.named_parameters(remove_duplicate=False):
        homes.setdefault(id(weight), set()).add(name)
    for path, module in modules.items():
        own = {f"{path}.{name}" for name, _ in module.named_parameters(remove_duplicate=False)}
        for weight in module.parameters():
            if others := homes[id(weight)] - own:
                return f"the weight of {path} is that of {min(others)} too, and would change alone"
    return None
