"""Every model and every corpus runs the whole way when tiny, offline, and keeps its kind."""

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
from omegaconf import OmegaConf
from safetensors.torch import load_file
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tests import forked, in_process
from tests.local_hub import LocalHub
from tests.modeling.tiny_models import config, make
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    AutoTokenizer,
    GenerationConfig,
)

from summexp.config.compose import conf_dir

MODELS = sorted({path.stem for path in Path(conf_dir(), "model").rglob("*.yaml")} - {"custom"})
"""Every model that a file names."""
DATA = sorted(path.stem for path in Path(conf_dir(), "data").rglob("*.yaml"))
ARCHITECTURES = (
    *("bart_base", "gpt2", "led_base_16384", "long_t5_tglobal_base", "mbart50", "mt5_small"),
    *("pegasus_xsum", "qwen3_0_6b_base", "smollm2_135m", "t5_small"),
)
"""A model of each architecture."""
SOURCES = ("custom_csv", "custom_json", "custom_parquet", "news_briefs", "samsum")
"""A corpus of each kind of source: files of each format, the bundled one, the Hub."""
SMALL = (
    "model.architecture.d_model=32",
    "data.max_train_samples=32",
    "data.max_eval_samples=8",
    "data.max_predict_samples=8",
    "training.max_steps=4",
    "training.logging_steps=1",
    "training.per_device_train_batch_size=8",
    "generation.max_new_tokens=6",
    "hardware=cpu",
)


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep this process from the network, and fail the test that tries."""

    def connect(_: socket.socket, address: Any) -> None:
        pytest.fail(f"the network was used: {address}")

    monkeypatch.setattr(socket.socket, "connect", connect)


def without_network() -> None:
    """Keep this process from the network, and let it say so if it tries."""
    real = socket.socket.connect

    def connect(self: socket.socket, address: Any) -> None:
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "::1"):
            os.write(2, b"NETWORK USED\n")
            raise OSError("no network in this test")
        real(self, address)

    socket.socket.connect = connect  # type: ignore[method-assign]


def run(*words: str, folder: Path) -> str:
    """Run to the end; return the output."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    log = folder.with_suffix(".log")
    words = (*words, f"output_dir={folder}")
    process = forked.start(*words, log=log, cwd=folder.parent, before=without_network)
    process.join(300)
    output = log.read_text(encoding="utf-8")
    assert process.exitcode == 0, output
    assert "NETWORK USED" not in output
    assert "Traceback" not in output
    return output


def results(folder: Path) -> dict[str, float]:
    content: dict[str, float] = json.loads((folder / "all_results.json").read_text("utf-8"))
    return content


def timeless(folder: Path) -> dict[str, float]:
    return {
        name: value
        for name, value in results(folder).items()
        if not name.endswith(("runtime", "per_second"))
    }


def predictions(folder: Path) -> list[dict[str, Any]]:
    lines = (folder / "generated_predictions.jsonl").read_text("utf-8").splitlines()
    return [json.loads(line) for line in lines]


def tiny(model: str, data: str, folder: Path) -> None:
    words = ("debug=tiny", f"model={model}", f"data={data}", "training.do_predict=true")
    in_process.run(*words, folder=folder)
    assert len(predictions(folder)) == 8
    assert results(folder)["eval_loss"] > 0
    saved = json.loads((folder / "config.json").read_text("utf-8"))
    chosen = OmegaConf.load(Path(conf_dir(), "model", f"{model}.yaml")).model.architecture
    assert saved["model_type"] == chosen.model_type
    for name in ("feed_forward_proj", "encoder_attention_type", "activation_function"):
        if name in chosen:
            assert saved[name] == chosen[name]
    if "gated" in chosen.get("feed_forward_proj", ""):
        assert saved["is_gated_act"] is True
    kind = AutoModelForSeq2SeqLM if saved.get("is_encoder_decoder") else AutoModelForCausalLM
    loaded = kind.from_pretrained(folder)
    assert saved["architectures"] == [type(loaded).__name__]
    assert loaded.num_parameters() < 1_000_000
    ids = AutoTokenizer.from_pretrained(folder)("Rain closed the road.", return_tensors="pt")
    assert loaded.generate(**ids).shape[0] == 1


# A model and a corpus meet in the names of columns alone.
OFTEN = [(model, SOURCES[i % len(SOURCES)]) for i, model in enumerate(ARCHITECTURES)]
"""Every architecture, and every kind of source."""
_MODELS = [model for model in MODELS if model not in ARCHITECTURES]
_DATA = [data for data in DATA if data not in SOURCES]
SELDOM = [
    (_MODELS[i % len(_MODELS)], _DATA[i % len(_DATA)]) for i in range(max(len(_MODELS), len(_DATA)))
]
"""The other models, and the other corpora."""


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("model", "data"), OFTEN)
def test_every_architecture_and_every_source(model: str, data: str, tmp_path: Path) -> None:
    tiny(model, data, tmp_path / "run")


@pytest.mark.slow
@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize(("model", "data"), SELDOM)
def test_every_model_and_every_corpus(model: str, data: str, tmp_path: Path) -> None:
    tiny(model, data, tmp_path / "run")


@pytest.mark.slow
def test_two_tiny_runs_give_equal_numbers(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        run("debug=tiny", "model=bart_base", "training.do_predict=true", folder=folder)
    assert timeless(folders[0]) == timeless(folders[1])
    assert predictions(folders[0]) == predictions(folders[1])
    one, two = (load_file(folder / "model.safetensors") for folder in folders)
    assert all(torch.equal(one[name], two[name]) for name in one)


@pytest.mark.slow
def test_overfit_learns_its_rows_by_heart(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    output = run("debug=overfit", "hardware=cpu", "training.max_steps=60", folder=folder)
    assert "train: 16 rows" in output
    found = results(folder)
    # The validation rows are the training rows: what was learnt shows in the evaluation.
    assert found["eval_loss"] < 0.2
    assert found["eval_rougeL"] > 90
    assert found["eval_samples"] == found["train_samples"] == 16
    assert not list(folder.glob("checkpoint-*"))


@pytest.mark.slow
def test_profile_leaves_a_table_and_a_trace(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run("debug=profile", "data.max_train_samples=64", *SMALL[:1], "hardware=cpu", folder=folder)
    assert "aten::mm" in (folder / "profile" / "steps.txt").read_text("utf-8")
    trace = json.loads((folder / "profile" / "trace.json").read_text("utf-8"))
    steps = {
        event["name"]
        for event in trace["traceEvents"]
        if event.get("name", "").startswith("ProfilerStep#")
    }
    assert steps == {f"ProfilerStep#{number}" for number in range(2, 8)}


def test_trackers_get_the_curves(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    words = ("tracking.trackers=[tensorboard,wandb]", "offline=true", "tracking.run_name=mine")
    run(*SMALL, *words, folder=folder)
    events = EventAccumulator(str(folder / "tracking"))
    events.Reload()
    state = json.loads((folder / "trainer_state.json").read_text("utf-8"))
    losses = [line["loss"] for line in state["log_history"] if "loss" in line]
    assert len(losses) == 4
    assert [event.value for event in events.Scalars("train/loss")] == pytest.approx(losses)
    (score,) = events.Scalars("eval/rougeL")
    assert score.value == pytest.approx(results(folder)["eval_rougeL"])
    (kept,) = (folder / "tracking" / "wandb").glob("offline-run-*")
    (log,) = kept.glob("*.wandb")
    content = log.read_bytes()
    for name in (b"eval/rougeL", b"train/loss", b"mine", b"summexp"):
        assert name in content


def test_the_best_model_is_loaded_without_a_false_alarm(tmp_path: Path) -> None:
    output = run(
        *SMALL,
        "training.load_best_model_at_end=true",
        "training.metric_for_best_model=eval_loss",
        "training.eval_strategy=steps",
        "training.eval_steps=2",
        "training.save_strategy=steps",
        "training.save_steps=2",
        folder=tmp_path / "run",
    )
    assert "missing keys" not in output


def test_evaluation_while_training_is_the_evaluation_after_it(tmp_path: Path) -> None:
    """The same weights, generation options and rows, so the same numbers."""
    sampled = (*SMALL, "generation=sample", "generation.max_new_tokens=5")
    trained = tmp_path / "trained"
    run(*sampled, folder=trained)
    words = ("training.do_train=false", f"model.name_or_path={trained}", "model.init=pretrained")
    run(*sampled, *words, folder=tmp_path / "again")
    during = {name: value for name, value in timeless(trained).items() if "eval" in name}
    after = {name: value for name, value in timeless(tmp_path / "again").items() if "eval" in name}
    assert during == after


@pytest.mark.parametrize("off", ["predict_with_generate=false", "prediction_loss_only=true"])
def test_the_loss_alone_can_be_evaluated(off: str, tmp_path: Path) -> None:
    run(*SMALL, f"training.{off}", "objective=eval_loss", folder=tmp_path / "run")
    found = results(tmp_path / "run")
    assert found["eval_loss"] > 0
    assert not any("rouge" in name for name in found)


def test_bfloat16_trains_on_a_cpu(tmp_path: Path) -> None:
    run(*SMALL, "training.bf16=true", folder=tmp_path / "run")
    found = results(tmp_path / "run")
    assert 0 < found["eval_loss"] < 20
    assert 0 < found["train_loss"] < 20


@pytest.fixture
def pretrained(tmp_path: Path) -> Path:
    """A BART with its own idea of generation, as bart-large-cnn has it."""
    made = make(config("bart"), longest_source=64)
    made.model.generation_config = GenerationConfig(
        num_beams=4,
        max_length=24,
        min_length=10,
        length_penalty=2.0,
        no_repeat_ngram_size=3,
        early_stopping=True,
        bos_token_id=0,
        pad_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=2,
        forced_bos_token_id=0,
    )
    folder = tmp_path / "pretrained"
    made.model.save_pretrained(folder)
    made.tokenizer.save_pretrained(folder)
    return folder


def fine_tuned(pretrained: Path, *words: str) -> tuple[str, dict[str, Any], Path]:
    folder = pretrained.parent / "run"
    output = run(
        "model=bart_base",
        f"model.name_or_path={pretrained}",
        "training.do_predict=true",
        "data.max_source_length=64",
        *SMALL[1:-2],
        "hardware=cpu",
        *words,
        folder=folder,
    )
    generation = json.loads((folder / "generation_config.json").read_text("utf-8"))
    return output, generation, folder


def test_a_models_own_generation_config_is_kept(pretrained: Path) -> None:
    output, generation, folder = fine_tuned(pretrained)
    own = json.loads((pretrained / "generation_config.json").read_text("utf-8"))
    assert {name: generation.get(name) for name in own} == own
    assert 10 <= results(folder)["predict_gen_len"] <= 24
    for noise in ("UserWarning", "generation flags", "max_new_tokens", "deprecated"):
        assert noise not in output


def test_generation_options_win_over_the_models_own(pretrained: Path) -> None:
    words = (
        "generation.num_beams=1",
        "generation.max_new_tokens=5",
        "data.val_max_target_length=9",
    )
    _, generation, folder = fine_tuned(pretrained, *words)
    assert generation["max_length"] == 6
    assert generation["no_repeat_ngram_size"] == 3
    # What only several beams use, and a shortest length above the longest, is put aside.
    assert generation.get("num_beams") in (1, None)
    assert not {"min_length", "length_penalty", "early_stopping"} & set(generation)
    assert results(folder)["predict_gen_len"] <= 6


def test_validation_length_bounds_the_models_own(pretrained: Path) -> None:
    _, generation, _ = fine_tuned(pretrained, "data.val_max_target_length=12")
    assert (generation["max_length"], generation["num_beams"]) == (12, 4)


@pytest.mark.slow
def test_models_that_the_hub_has_and_has_not(pretrained: Path, tmp_path: Path) -> None:
    """In a process of its own, since the endpoint is read at import."""
    names = "someone/bart-tiny,someone/nothing"
    words = ("-m", "model=bart_base", f"model.name_or_path={names}", "data.max_source_length=64")
    code = "import sys; from summexp.entry import main; main(sys.argv[1:])"
    with LocalHub() as hub:
        hub.add_folder("someone/bart-tiny", pretrained)
        done = subprocess.run(
            [sys.executable, "-c", code, *words, *SMALL[1:], f"output_dir={tmp_path / 'sweep'}"],
            env={**os.environ, **hub.environment(tmp_path / "home")},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    reported = done.stdout + done.stderr
    assert done.returncode == 1, reported
    assert results(tmp_path / "sweep" / "0")["eval_loss"] > 0
    assert [line for line in hub.requests if line.endswith("model.safetensors")]
    assert "model.name_or_path: 'someone/nothing' cannot be loaded" in reported
    assert "Traceback" not in reported
