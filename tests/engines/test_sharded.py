"""Training that splits the weights over processes gives the numbers of one process."""

from __future__ import annotations

import json
import os
import socket
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tests import forked
from tests.engines.jobs import job, training, with_dropout
from tests.evaluation.test_evaluate import evaluation_set, settings
from tests.modeling.tiny_models import ARCHITECTURES, config, make

from summexp.distributed.config import HardwareConfig
from summexp.distributed.ranks import is_main, process_group
from summexp.engines.config import EngineConfig
from summexp.engines.registry import build_engine
from summexp.evaluation.evaluate import evaluate
from summexp.modeling.config import PeftConfig
from summexp.run_folder.checkpoints import checkpoints, verify
from summexp.run_folder.layout import MANIFEST

FSDP = {"fsdp": True}
ZERO: dict[str, Any] = {
    "gradient_clipping": "auto",
    "gradient_accumulation_steps": "auto",
    "train_micro_batch_size_per_gpu": "auto",
    "bf16": {"enabled": "auto"},
}
needs_deepspeed = pytest.mark.skipif(
    find_spec("deepspeed") is None, reason="the extra deepspeed is not installed"
)


def fit(
    folder: Path,
    model_type: str,
    rows: int,
    resume_from: str | None,
    options: Any,
    *,
    engine: str = "trainer",
    count: int = 35,
    dropout: float = 0.0,
    fails: bool = False,
) -> None:
    """Train a tiny model, evaluating it twice; write down what came of it.

    With `fails`, the second evaluation does, after it has written down the weights.
    """
    options = dict(options)
    tiny = with_dropout(make(config(model_type), peft=options.pop("peft", None)), dropout)
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in tiny.model.parameters():
            # Loud enough to say something else of each document.
            weight.add_(torch.randn_like(weight) * 0.2)
    collate = job(folder, tiny=tiny).collate
    predictions = []

    def evaluated(model: Any, each: Any) -> Any:
        # Eight rows make three batches, so that ranks have different numbers of them.
        found = evaluate(
            model, tiny.tokenizer, collate, evaluation_set(tiny), settings(tiny), lambda _: each()
        )
        predictions.append(found.predictions)
        if fails and len(predictions) == 2:
            if is_main():
                torch.save(dict(model.named_parameters()), folder / "evaluated.pt")
            raise AssertionError("a metric failed")
        return [found]

    chosen = {
        "num_train_epochs": 2,
        "per_device_train_batch_size": rows,
        "max_grad_norm": 0.5,
        "eval_strategy": "steps",
        "do_eval": True,
        "eval_steps": 3,
        "save_strategy": "steps",
        "save_steps": 3,
        **options,
    }
    loop = EngineConfig(name=engine)
    one = job(
        folder, tiny=tiny, count=count, evaluate=evaluated, engine=loop, training=training(**chosen)
    )
    with pytest.raises(AssertionError, match="a metric failed") if fails else nullcontext():
        fitted = build_engine(loop).fit(one, Path(resume_from) if resume_from else None)
    if fails:
        return
    evaluated(fitted.model, lambda: None)
    if is_main():
        (folder / "predictions.json").write_text(json.dumps(predictions))


def rank(world: dict[str, str], words: tuple[Any, ...], named: dict[str, Any]) -> None:
    os.environ.update(world, DS_ACCELERATOR="cpu")
    if find_spec("deepspeed") is not None:
        import deepspeed

        # Compiled, it would be faster than gloo.
        deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    with process_group(HardwareConfig(backend="cpu")):
        fit(*words, **named)


def fit_on(ranks: int, *words: Any, **named: Any) -> None:
    """Call `fit` on each of some ranks."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    world = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": str(ranks)}
    started = []
    for number in range(ranks):
        own = {"RANK": str(number), "LOCAL_RANK": str(number), "LOCAL_WORLD_SIZE": str(ranks)}
        started.append(forked.call(rank, world | own, words, named))
    for process in started:
        process.join(300)
    for process in started:
        process.kill()
        process.join()
    assert [process.exitcode for process in started] == [0] * ranks


def logged(folder: Path, name: str) -> list[float]:
    history = json.loads((folder / "trainer_state.json").read_text())["log_history"]
    return [entry[name] for entry in history if name in entry]


def assert_same(folder: Path, alone: Path, *, places: float = 3e-5) -> None:
    for name in ("loss", "grad_norm", "learning_rate", "eval_loss"):
        assert logged(folder, name) == pytest.approx(logged(alone, name), rel=places), name
    one, other = (load_file(path / "model.safetensors") for path in (folder, alone))
    assert one.keys() == other.keys()
    for name, weight in one.items():
        assert weight.dtype == torch.float32
        # Softmax leaves a bias of the keys without a gradient but for rounding, which Adam follows.
        if not name.endswith(("k_proj.bias", "c_attn.bias")):
            assert weight.allclose(other[name], atol=1e-4), name


def predictions_in(folder: Path) -> list[list[str]]:
    return list(json.loads((folder / "predictions.json").read_text()))


def assert_full(checkpoint: Path, *parts: str) -> None:
    """Every rank has written its part, and the manifest knows of it."""
    assert verify(checkpoint) is None
    files = json.loads((checkpoint / MANIFEST).read_text())
    for name in ("rng_state_0.pth", "rng_state_1.pth", "model.safetensors", *parts):
        assert name in files


@pytest.mark.parametrize(
    ("engine", "options"),
    [("trainer", {}), ("accelerate", {}), ("trainer", FSDP), ("accelerate", FSDP)],
)
def test_the_full_weights_outlive_an_evaluation_that_fails(
    engine: str, options: dict[str, Any], tmp_path: Path
) -> None:
    fit_on(2, tmp_path, "t5", 6, None, options, engine=engine, fails=True)
    saved = load_file(tmp_path / "model.safetensors")
    evaluated = torch.load(tmp_path / "evaluated.pt", weights_only=True)
    named = saved.keys() & evaluated.keys()
    assert "shared.weight" in named
    assert all(saved[name].equal(evaluated[name].detach()) for name in named)
    # The evaluation came before the checkpoint of its step.
    assert [one.name for one in checkpoints(tmp_path)] == ["checkpoint-3"]


OFTEN = (("trainer", "longt5"), ("accelerate", "t5"))
"""T5 has hidden ties, and LongT5 a weight that short batches leave out."""
SELDOM = [
    *(("trainer", name) for name in ARCHITECTURES if name not in ("t5", "longt5", "bart")),
    *(("accelerate", "bart"), ("accelerate", "gpt2"), ("trainer", "llama")),
]
"""With those above, every architecture once."""
ENGINES = pytest.mark.parametrize("engine", ["trainer", "accelerate"])
RESUMING = pytest.mark.parametrize(
    ("first", "second"),
    [("trainer",) * 2, ("accelerate",) * 2, ("trainer", "accelerate"), ("accelerate", "trainer")],
)


@pytest.mark.parametrize(
    ("engine", "model_type"),
    [*OFTEN, *(pytest.param(*one, marks=pytest.mark.slow) for one in SELDOM)],
)
def test_fsdp_trains_evaluates_and_saves_as_one_process(
    engine: str, model_type: str, tmp_path: Path
) -> None:
    fit(tmp_path / "alone", model_type, 12, None, {})
    fit_on(2, tmp_path / "fsdp", model_type, 6, None, FSDP, engine=engine)
    assert_same(tmp_path / "fsdp", tmp_path / "alone")
    assert predictions_in(tmp_path / "fsdp") == predictions_in(tmp_path / "alone")
    if model_type == "t5":
        assert len(set(predictions_in(tmp_path / "fsdp")[0])) > 1
    parts = [f"{kind}_0/__{number}_0.distcp" for kind in ("optimizer", "pytorch_model_fsdp")
             for number in (0, 1)]  # fmt: skip
    assert_full(checkpoints(tmp_path / "fsdp")[0], *parts)


@ENGINES
def test_train_loss_is_that_of_one_process(engine: str, tmp_path: Path) -> None:
    # Two steps come after the last one that was logged.
    options = {"logging_steps": 4, "eval_strategy": "no", "do_eval": False}
    fit(tmp_path / "alone", "t5", 12, None, options, engine=engine)
    fit_on(2, tmp_path / "ranks", "t5", 6, None, options, engine=engine)
    alone, ranks = (logged(tmp_path / name, "train_loss") for name in ("alone", "ranks"))
    assert ranks == pytest.approx(alone, rel=1e-6)
    assert len(logged(tmp_path / "alone", "loss")) == 1


@RESUMING
@pytest.mark.slow
def test_fsdp_resumes_with_another_number_of_ranks(first: str, second: str, tmp_path: Path) -> None:
    fit(tmp_path / "alone", "t5", 12, None, {})
    fit_on(2, tmp_path / "first", "t5", 6, None, FSDP, engine=first)
    begun = str(tmp_path / "first" / "checkpoint-3")
    fit_on(3, tmp_path / "rest", "t5", 4, begun, FSDP, engine=second)
    assert_same(tmp_path / "rest", tmp_path / "alone")
    assert predictions_in(tmp_path / "rest")[-1] == predictions_in(tmp_path / "alone")[-1]


@ENGINES
@pytest.mark.slow
def test_fsdp_ends_with_the_best_model(engine: str, tmp_path: Path) -> None:
    """The loss goes down, and the model with the highest is said to be the best."""
    best = {
        "load_best_model_at_end": True,
        "metric_for_best_model": "loss",
        "greater_is_better": True,
    }
    fit_on(2, tmp_path / "fsdp", "bart", 6, None, FSDP | best, engine=engine)
    losses = logged(tmp_path / "fsdp", "eval_loss")
    assert losses[0] > losses[-1]
    saved = load_file(tmp_path / "fsdp" / "model.safetensors")
    for name, weight in load_file(tmp_path / "fsdp/checkpoint-3/model.safetensors").items():
        assert saved[name].equal(weight), name
    predictions = predictions_in(tmp_path / "fsdp")
    assert predictions[-1] == predictions[0] != predictions[1]


LORA = {"peft": PeftConfig(name="lora", dropout=0.0)}


@pytest.mark.parametrize(
    ("engine", "options"),
    [
        pytest.param("trainer", FSDP, id="trainer-fsdp", marks=pytest.mark.slow),
        pytest.param("accelerate", {}, id="accelerate-ddp", marks=pytest.mark.slow),
        pytest.param("trainer", {}, id="trainer-ddp", marks=pytest.mark.slow),
        pytest.param("accelerate", FSDP, id="accelerate-fsdp", marks=pytest.mark.slow),
    ],
)
def test_lora_on_ranks_trains_evaluates_and_saves_as_one_process(
    options: dict[str, Any], engine: str, tmp_path: Path
) -> None:
    best = {"load_best_model_at_end": True, "metric_for_best_model": "loss"}
    options = {"learning_rate": 1e-3, **LORA, **best, **options}
    # As many rows at once as a rank has: the sums of 12 are rounded otherwise, by how much depends
    # on the processor, and training makes more of it.
    one = options | {"fsdp": None, "gradient_accumulation_steps": 2}
    fit(tmp_path / "alone", "t5", 6, None, one, engine=engine)
    fit_on(2, tmp_path / "ranks", "t5", 6, None, options, engine=engine)
    assert_same(tmp_path / "ranks", tmp_path / "alone")
    assert predictions_in(tmp_path / "ranks") == predictions_in(tmp_path / "alone")
    adapters = [
        load_file(tmp_path / name / "adapter" / "adapter_model.safetensors")
        for name in ("ranks", "alone")
    ]
    assert adapters[0].keys() == adapters[1].keys()
    for name, weight in adapters[0].items():
        assert weight.allclose(adapters[1][name], atol=1e-4), name
    half = str(tmp_path / "ranks" / "checkpoint-3")
    fit_on(2, tmp_path / "rest", "t5", 6, half, options, engine=engine)
    assert_same(tmp_path / "rest", tmp_path / "ranks", places=1e-6)


@ENGINES
@pytest.mark.slow
def test_fsdp_in_bfloat16_has_the_numbers_of_ddp(engine: str, tmp_path: Path) -> None:
    options = {"bf16": True, "gradient_accumulation_steps": 2}
    fit_on(2, tmp_path / "ddp", "t5", 3, None, options)
    fit_on(2, tmp_path / "fsdp", "t5", 3, None, FSDP | options, engine=engine)
    assert_same(tmp_path / "fsdp", tmp_path / "ddp", places=1e-3)


@needs_deepspeed
@pytest.mark.slow
@pytest.mark.parametrize(
    ("stage", "model_type", "first", "second"),
    [
        # Every pair of these values is among them.
        (2, "t5", "trainer", "trainer"),
        (3, "bart", "trainer", "trainer"),
        (2, "t5", "accelerate", "accelerate"),
        (3, "bart", "accelerate", "accelerate"),
        (2, "bart", "trainer", "accelerate"),
        (3, "t5", "accelerate", "trainer"),
    ],
)
def test_deepspeed_trains_evaluates_and_saves_as_one_process(
    stage: int, model_type: str, first: str, second: str, tmp_path: Path
) -> None:
    options = {
        "deepspeed": ZERO | {"zero_optimization": {"stage": stage}},
        "gradient_accumulation_steps": 2,
    }
    fit(tmp_path / "alone", model_type, 12, None, {})
    fit_on(2, tmp_path / "zero", model_type, 3, None, options, engine=first)
    assert_same(tmp_path / "zero", tmp_path / "alone", places=1e-4)
    assert predictions_in(tmp_path / "zero") == predictions_in(tmp_path / "alone")
    assert_full(tmp_path / "zero" / "checkpoint-3", "latest")
    begun = str(tmp_path / "zero" / "checkpoint-3")
    fit_on(2, tmp_path / "rest", model_type, 3, begun, options, engine=second)
    assert_same(tmp_path / "rest", tmp_path / "alone", places=1e-4)
