"""Validation rules of optimizer, scheduler and kernels, without importing torch.

Upstream (5.23) finds these mistakes when training begins, after the corpus and the model were
loaded. A test holds the tables to its functions.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from summexp.errors import Problem, nearest

if TYPE_CHECKING:
    from summexp.engines.generated.training_config import TrainingConfig

_COSINE = frozenset({"num_cycles"})
_MINIMUM = _COSINE | {"min_lr", "min_lr_rate"}
_BY_SCORE = frozenset(
    {"mode", "factor", "patience", "threshold", "threshold_mode", "cooldown", "min_lr", "eps"}
)
SCHEDULERS: dict[str, frozenset[str]] = {
    "linear": frozenset(),
    "cosine": _COSINE,
    "cosine_with_restarts": _COSINE,
    "polynomial": frozenset({"lr_end", "power"}),
    "constant": frozenset(),
    "constant_with_warmup": frozenset(),
    "inverse_sqrt": frozenset({"timescale"}),
    "reduce_lr_on_plateau": _BY_SCORE,
    "cosine_with_min_lr": _MINIMUM,
    "cosine_warmup_with_min_lr": _MINIMUM | {"warmup_lr_rate"},
    "warmup_stable_decay": _COSINE
    | {"num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio"},
    "greedy": _BY_SCORE | {"warmup", "max_lr", "verbose", "smooth", "window_size", "reset_start"},
}
"""Scheduler to its options in `training.lr_scheduler_kwargs`."""
_SHAPES = ("linear", "cosine", "1-sqrt")
_TEXTS = {
    "warmup_type": _SHAPES,
    "decay_type": _SHAPES,
    "mode": ("min", "max"),
    "threshold_mode": ("rel", "abs"),
}
"""Options whose value is text, and the allowed values; those of all others are numbers."""

_NUMBERS = {
    "sgd": ("momentum", "dampening", "weight_decay"),
    "adagrad": ("lr_decay", "weight_decay", "eps"),
    "rmsprop": ("momentum", "alpha", "eps", "weight_decay"),
}
_FLAGS = {"sgd": ("nesterov",), "adagrad": (), "rmsprop": ("centered",)}
WITHOUT_OPTIONS = ("adafactor", "adamw_torch", "adamw_torch_fused", "adamw_torch_xla")
"""Optimizers that make no use of `training.optim_args`."""

_TORCHAO = ("adamw_torch_4bit", "adamw_torch_8bit")
_PACKAGES = {
    "galore_": ("galore_torch", "galore-torch"),
    "apollo_": ("apollo_torch", "apollo-torch"),
    "lomo": ("lomo_optim", "lomo-optim"),
    "adalomo": ("lomo_optim", "lomo-optim"),
    "grokadamw": ("grokadamw", "grokadamw"),
    "schedule_free_": ("schedulefree", "schedulefree"),
    "stable_adamw": ("optimi", "torch-optimi"),
    "adamw_anyprecision": ("torchdistx", "torchdistx"),
    "adamw_torch_xla": ("torch_xla", "torch_xla"),
    "adamw_torch_npu_fused": ("torch_npu", "torch_npu"),
    **dict.fromkeys(_TORCHAO, ("torchao", "torchao")),
    **dict.fromkeys(
        (*("adamw_bnb_8bit", "adamw_8bit", "ademamix", "lion_", "paged_", "rmsprop_bnb"),),
        ("bitsandbytes", "bitsandbytes"),
    ),
}
"""Beginning of an optimizer's name to the module that it needs, and the package to install."""


def check_optimizer(training: TrainingConfig) -> Iterator[Problem]:
    """Yield what is wrong with the optimizer, the scheduler and the kernels of a training."""
    yield from _packages(training)
    yield from _optimizer_options(training)
    yield from _scheduler_options(training)


def _packages(training: TrainingConfig) -> Iterator[Problem]:
    needed = {"training.use_liger_kernel": ("liger_kernel", "liger-kernel", "true")}
    if not training.use_liger_kernel:
        needed.clear()
    for beginning, (module, package) in _PACKAGES.items():
        if training.optim.startswith(beginning):
            needed["training.optim"] = (module, package, training.optim)
    for key, (module, package, value) in needed.items():
        if find_spec(module) is None:
            yield Problem(
                key=key,
                what=f"{value} needs the package {package}, which is not installed",
                hint=f"Install it with pip install {package}, or remove {key}.",
            )


def _optimizer_options(training: TrainingConfig) -> Iterator[Problem]:
    key, name = "training.optim_args", training.optim
    if not training.optim_args:
        return
    if name in WITHOUT_OPTIONS:
        yield Problem(
            key=key,
            what=f"has no effect on training.optim={name}",
            hint="Remove it; training.adam_beta1, adam_beta2, adam_epsilon and weight_decay do.",
        )
        return
    for part in training.optim_args.replace(" ", "").split(","):
        option, *values = part.split("=")
        if len(values) != 1 or not option:
            yield Problem(
                key=key,
                what=f"{part!r} is not an option and its value",
                hint="Write key=value,key=value, such as training.optim_args='momentum=0.9'.",
            )
        elif name in _NUMBERS:
            known = [*_NUMBERS[name], *_FLAGS[name]]
            if option not in known:
                what, hint = f"{name} has no option {option!r}", f"It has: {', '.join(known)}."
                yield Problem(key=key, what=what, hint=hint)
            elif option in _NUMBERS[name] and not _is_number(values[0]):
                what = f"{option}={values[0]} is not a number"
                yield Problem(key=key, what=what, hint=f"Write a number: {option}=0.9")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _scheduler_options(training: TrainingConfig) -> Iterator[Problem]:
    key, name = "training.lr_scheduler_kwargs", training.lr_scheduler_type
    options = training.lr_scheduler_kwargs or {}
    if not isinstance(options, Mapping):
        # A JSON text, which upstream reads.
        return
    known = SCHEDULERS[name]
    for option, value in options.items():
        if option not in known:
            listed = f"It has: {', '.join(sorted(known))}." if known else "It has none: remove it."
            near = nearest(str(option), known)
            hint = f"{near} {listed}" if near else listed
            yield Problem(key=key, what=f"{name} has no option {option!r}", hint=hint)
        elif (what := _value_problem(option, value)) is not None:
            yield Problem(key=key, what=what, hint=f"Write {key}={{{option}: VALUE}}.")
    yield from _needed(training, options)


def _value_problem(option: str, value: Any) -> str | None:
    allowed = _TEXTS.get(option)
    if allowed is not None:
        named = f"{option}: {value!r} is not one of {', '.join(allowed)}"
        return None if value in allowed else named
    return f"{option}: {value!r} is not a number" if isinstance(value, str) else None


def _needed(training: TrainingConfig, options: Mapping[str, Any]) -> Iterator[Problem]:
    key, name = "training.lr_scheduler_kwargs", training.lr_scheduler_type
    if "min_lr_rate" in SCHEDULERS[name]:
        minima = [one for one in ("min_lr", "min_lr_rate") if options.get(one) is not None]
        if len(minima) != 1:
            yield Problem(
                key=key,
                what=f"{name} needs either min_lr or min_lr_rate"
                + (", and both are set" if minima else ""),
                hint=f"Write {key}={{min_lr_rate: 0.1}}, a share of the learning rate.",
            )
    if name == "warmup_stable_decay" and options.get("num_decay_steps") is None:
        yield Problem(
            key=key,
            what=f"{name} needs num_decay_steps",
            hint=f"Write {key}={{num_decay_steps: 100}}, the steps at the end.",
        )
    lowest = options.get("lr_end", 1e-7)
    is_number = isinstance(lowest, int | float)
    if name == "polynomial" and is_number and lowest >= training.learning_rate:
        yield Problem(
            key=key,
            what=f"lr_end ({lowest}) is not below training.learning_rate "
            f"({training.learning_rate})",
            hint=f"Write a smaller one: {key}={{lr_end: 0}}",
        )
