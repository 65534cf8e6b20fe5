"""The changes of docs/how-to/change-the-loop.md apply, together too, and do what it says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests.engines.jobs import job, logged, rows, text, training
from tests.modeling.tiny_models import Tiny, config, make
from torch.nn import functional
from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

from summexp.data.sampling import epoch_order
from summexp.data.tokenize import row_lengths
from summexp.engines.accelerate import AccelerateEngine, TrainingLoop
from summexp.engines.supported_fields import REJECTED

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGE = (DOCS / "how-to" / "change-the-loop.md").read_text(encoding="utf-8")
LOOP = Path("src", "summexp", "engines", "accelerate.py")
DIFFS = re.findall(r"```diff\n(.*?)```", PAGE, re.DOTALL)
Z_LOSS, TWO_RATES, ACCURACY = range(3)
WHOLE = {"per_device_train_batch_size": 16}
SPLIT = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 4}


def changed(folder: Path, *numbers: int) -> Path:
    """Copy the loop into `folder`, and make the page's changes of these numbers."""
    if shutil.which("git") is None:
        pytest.skip("git is not installed")
    file = folder / LOOP
    file.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(ROOT / LOOP, file)
    for number in numbers:
        # Outside a repository, and without the user's own settings of git.
        alone = {**os.environ, "GIT_CEILING_DIRECTORIES": str(folder.parent)}
        done = subprocess.run(
            ["git", "apply", "-"],
            cwd=folder,
            env=alone,
            input=DIFFS[number],
            text=True,
            capture_output=True,
        )
        assert done.returncode == 0, done.stderr
    return file


def engine(folder: Path, *numbers: int) -> Any:
    """The engine with the page's changes of these numbers."""
    file = changed(folder, *numbers)
    spec = importlib.util.spec_from_file_location("changed_loop", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.AccelerateEngine()


def fit(folder: Path, loop: Any, **options: Any) -> list[dict[str, float]]:
    """Train with an engine, and return what was logged of each step."""
    folder.mkdir(exist_ok=True)
    loop.fit(job(folder, **options), None)
    return [entry for entry in logged(folder) if "loss" in entry]


def first_rows(tiny: Tiny) -> list[int]:
    """The numbers of the rows of the first step."""
    return epoch_order(row_lengths(rows(tiny, 42)), 16, seed=42, epoch=0)[:16].tolist()


def answers(tiny: Tiny, numbers: Iterable[int]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield logits and labels of rows, each of which is fed on its own."""
    tokens = rows(tiny, 42)
    tiny.model.eval()
    for number in numbers:
        ids, labels = (torch.tensor([tokens[number][name]]) for name in ("input_ids", "labels"))
        with torch.no_grad():
            yield tiny.model(input_ids=ids, labels=labels).logits[0], labels[0]


def accuracy(pairs: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> float:
    """The share of all labels that have the highest logit."""
    hits = torch.cat([logits.argmax(-1) == labels for logits, labels in pairs])
    return int(hits.sum()) / len(hits)


def z_term(logits: list[torch.Tensor]) -> float:
    """1e-4 times the mean square of the logarithm of the softmax's normalizer."""
    normalizers = torch.cat([one.double().exp().sum(-1) for one in logits])
    return 1e-4 * normalizers.log().square().mean().item()


@pytest.mark.parametrize("model_type", ["t5", "bart"])
def test_the_z_loss_is_added_whatever_the_split(model_type: str, tmp_path: Path) -> None:
    loop = engine(tmp_path, Z_LOSS)
    run = {"model_type": model_type}
    (plain,) = fit(
        tmp_path / "plain", AccelerateEngine(), **run, training=training(max_steps=1, **WHOLE)
    )
    whole, split = (
        fit(tmp_path / str(number), loop, **run, training=training(max_steps=3, **options))
        for number, options in enumerate((WHOLE, SPLIT))
    )
    tiny = make(config(model_type))
    term = z_term([logits for logits, _ in answers(tiny, first_rows(tiny))])
    assert term > 1e-3
    assert whole[0]["loss"] - plain["loss"] == pytest.approx(term, abs=1e-6)
    assert whole[0]["grad_norm"] != plain["grad_norm"]
    for one, other in zip(whole, split, strict=True):
        assert other["loss"] == pytest.approx(one["loss"], rel=1e-5)
        assert other["grad_norm"] == pytest.approx(one["grad_norm"], rel=1e-5)


@pytest.mark.parametrize("model_type", ["t5", "bart", "led"])
def test_the_encoder_learns_at_a_tenth_of_the_rate(model_type: str, tmp_path: Path) -> None:
    options = training(
        max_steps=1, optim="sgd", learning_rate=0.5, max_grad_norm=0, lr_scheduler_type="constant"
    )
    moved = []
    for number, loop in enumerate((AccelerateEngine(), engine(tmp_path, TWO_RATES))):
        tiny = make(config(model_type))
        before = {name: one.detach().clone() for name, one in tiny.model.named_parameters()}
        (step,) = fit(tmp_path / str(number), loop, tiny=tiny, training=options)
        assert step["learning_rate"] == 0.5
        moved.append({name: one - before[name] for name, one in tiny.model.named_parameters()})
    encoder = {id(one) for one in tiny.model.get_encoder().parameters()}
    encoder -= {id(one) for one in tiny.model.get_decoder().parameters()}
    slower = {name for name, one in tiny.model.named_parameters() if id(one) in encoder}
    assert 5 < len(slower) < len(moved[0]) - 5
    for name, whole in moved[0].items():
        expected = whole / 10 if name in slower else whole
        torch.testing.assert_close(moved[1][name], expected, rtol=1e-4, atol=1e-7)
    assert any(moved[0][name].abs().max() > 1e-4 for name in slower)


def test_the_schedule_scales_both_rates(tmp_path: Path) -> None:
    options = training(
        max_steps=4, warmup_steps=2, learning_rate=0.01, save_strategy="steps", save_steps=1
    )
    fit(tmp_path, engine(tmp_path, TWO_RATES), training=options)
    # A checkpoint has the rates of the step after it.
    for step, factor in {1: 0.5, 2: 1.0, 3: 0.5, 4: 0.0}.items():
        progress = torch.load(tmp_path / f"checkpoint-{step}" / "optimizer.pt")["param_groups"]
        rates = [group["lr"] for group in progress]
        assert rates == pytest.approx([0.01 * factor] * 2 + [0.001 * factor] * 2)
        assert [group["initial_lr"] for group in progress] == pytest.approx(
            [0.01] * 2 + [0.001] * 2
        )


@pytest.mark.parametrize("split", [WHOLE, SPLIT])
def test_the_accuracy_is_that_of_the_training_batches(
    split: dict[str, int], tmp_path: Path
) -> None:
    tiny = make(config("t5"))
    # Fresh weights are never right.
    first = training(max_steps=20, learning_rate=1e-2)
    fit(tmp_path / "first", AccelerateEngine(), tiny=tiny, training=first)
    loop, still = engine(tmp_path, ACCURACY), {"num_train_epochs": 1, "learning_rate": 0.0, **split}
    each = fit(tmp_path / "each", loop, tiny=tiny, training=training(**still))
    (mean,) = fit(tmp_path / "mean", loop, tiny=tiny, training=training(**still, logging_steps=3))
    plain = fit(tmp_path / "plain", AccelerateEngine(), tiny=tiny, training=training(**still))
    assert [entry["loss"] for entry in each] == [entry["loss"] for entry in plain]
    assert len(each) == 3
    assert each[0]["token_accuracy"] == accuracy(answers(tiny, first_rows(tiny)))
    assert mean["token_accuracy"] == accuracy(answers(tiny, range(42)))
    assert 0.1 < mean["token_accuracy"] < 0.9
    assert each[0]["token_accuracy"] != mean["token_accuracy"]


@pytest.mark.slow
def test_all_together_on_two_ranks(tmp_path: Path) -> None:
    """Each step sees all eight rows, and a checkpoint has the weights that the next step sees."""
    for name in ("src", "conf"):
        shutil.copytree(ROOT / name, tmp_path / name)
    changed(tmp_path, Z_LOSS, TWO_RATES, ACCURACY)
    texts = [{"document": text(n, 1 + n), "summary": text(n, 1 + n % 4)} for n in range(8)]
    lines = "".join(json.dumps(one) + "\n" for one in texts)
    (tmp_path / "rows.jsonl").write_text(lines, encoding="utf-8")
    words = [
        "debug=tiny",
        "engine=accelerate",
        "hardware=ddp2_cpu",
        "data=custom_json",
        "data.train_file=rows.jsonl",
        "tracking.trackers=[tensorboard]",
        "training.max_steps=10",
        "training.learning_rate=0.02",
        "training.do_eval=false",
        "training.save_strategy=steps",
        "training.save_steps=3",
        "training.save_total_limit=9",
        "output_dir=run",
    ]
    done = subprocess.run(
        [sys.executable, ROOT / "train.py", *words],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "src")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "run"
    assert json.loads((folder / "run.json").read_text("utf-8"))["world_size"] == 2
    steps = {entry["step"]: entry for entry in logged(folder) if "loss" in entry}
    assert sorted(steps) == list(range(1, 11))
    right = []
    for step in (3, 6, 9):
        checkpoint = folder / f"checkpoint-{step}"
        pairs = list(texts_answered(checkpoint, texts))
        logits, labels = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        loss = functional.cross_entropy(logits, labels).item() + z_term([logits])
        assert steps[step + 1]["loss"] == pytest.approx(loss, rel=1e-5)
        assert steps[step + 1]["token_accuracy"] == accuracy(pairs)
        right.append(accuracy(pairs))
        groups = torch.load(checkpoint / "optimizer.pt")["param_groups"]
        assert [group["initial_lr"] for group in groups] == [0.02, 0.02, 0.002, 0.002]
    assert right[-1] > 0.1
    events = EventAccumulator(str(folder / "tracking"))
    events.Reload()
    shown = [event.value for event in events.Scalars("train/token_accuracy")]
    assert shown == pytest.approx([entry["token_accuracy"] for entry in steps.values()])


def texts_answered(
    folder: Path, texts: list[dict[str, str]]
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Yield what the model in `folder` makes of texts: logits and labels of each."""
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for one in texts:
        batch = tokenizer(one["document"], return_tensors="pt", truncation=True, max_length=64)
        labels = tokenizer(
            text_target=one["summary"], return_tensors="pt", truncation=True, max_length=16
        )["input_ids"]
        with torch.no_grad():
            yield model(**batch, labels=labels).logits[0], labels[0]


def test_the_page_names_methods_of_the_loop() -> None:
    table = [line.split("|")[2] for line in PAGE.splitlines() if line.startswith("| ")][1:]
    named = {name for cell in table for name in re.findall(r"`(\w+)`", cell)}
    assert len(named) > 8
    assert {name for name in named if name not in vars(TrainingLoop)} == set()


def test_the_page_of_engines_has_what_is_rejected() -> None:
    page = (DOCS / "explanation" / "engines.md").read_text(encoding="utf-8")
    cells = [line.strip("| ").split(" | ") for line in page.splitlines() if line.startswith("| `")]
    shown = {name: why for names, why in cells for name in re.findall(r"`(\w+)`", names)}
    assert shown == REJECTED
