"""Every value of a run comes back from its `config.yaml`: loaded, and composed as a root."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from summexp.check import check
from summexp.command_line import parse
from summexp.config.escaping import override
from summexp.config.saved import read_saved, saved_yaml
from summexp.config.schema import Config
from summexp.config.typed import load_config
from summexp.errors import ConfigError

TEXTS = [
    "${lang}: ",
    "\\${lang}: ",
    "${oc.env:HOME}",
    "$HOME `date` !x",
    "it's",
    'say "yes"',
    "both ' and \" ",
    " lead and trail ",
    "C:\\runs\\",
    "요약: ",
    "要約\u3000",
    "😀",
    "a: b # c",
    "[a, {b: c}]",
    "- a",
    "&a *b !c %d @e",
    "???x",
    "~",
    "null",
    "no",
    "y",
    "1",
    "1e-3",
    "0x1f",
    "1_000",
    "1:30",
    "2026-01-01",
    ".nan",
    "---",
    "a" * 100 + " " + "b" * 100,
]
WITH_BREAKS = ["line\nbreak\n", "\r\n", "a\n\n b", "\x85\u2028\u2029", "\ttab", "\x00\x1b"]


def composed(*words: str) -> Config:
    return check(parse(list(words)))[0].config


@pytest.fixture(scope="module")
def plain() -> Config:
    return composed("model=t5_tiny")


def saved(config: Config, folder: Path) -> Path:
    path = folder / "mine.yaml"
    path.write_text(saved_yaml(config, "a test"), encoding="utf-8", newline="\n")
    return path


def test_any_text_comes_back(plain: Config, tmp_path: Path) -> None:
    texts = [*TEXTS, *WITH_BREAKS]
    inside = {text: text for text in texts}
    model = replace(
        plain.model, source_prefix=texts[0], architecture={"model_type": "t5", "a": inside, "1": 1}
    )
    tracking = replace(plain.tracking, run_name=texts[-1], tags=texts)
    config = replace(plain, model=model, tracking=tracking)
    path = saved(config, tmp_path)
    assert load_config(path) == config
    assert composed("--config-dir", str(tmp_path), "--config-name", "mine") == config


def test_words_of_the_command_line_come_back(tmp_path: Path) -> None:
    words = [
        override("model.source_prefix", TEXTS[0]),
        override("tracking.tags", TEXTS),
        override("tracking.run_name", "본문 1"),
        "data.max_train_samples=7",
        override("training.gradient_checkpointing_kwargs", {"n": 2, "name": "1"}),
        override("generation.bad_words_ids", [[1, 2], [3]]),
        "training.save_strategy='no'",
        "training.learning_rate=1e-7",
        "hardware=ddp2_cpu",
    ]
    config = composed(*words)
    assert config.tracking.tags == TEXTS
    path = saved(config, tmp_path)
    root = ("--config-dir", str(tmp_path), "--config-name", "mine")
    assert load_config(path) == config == composed(*root)
    again = composed(*root, "seed=3", "data=xsum")
    assert (again.seed, again.model) == (3, config.model)
    # Of the group that was chosen anew, nothing is left.
    assert again.data == composed("data=xsum").data


def test_text_is_easy_to_read(plain: Config, tmp_path: Path) -> None:
    model = replace(plain.model, source_prefix="요약: ", name_or_path="google/mt5-small")
    text = saved(replace(plain, model=model), tmp_path).read_text(encoding="utf-8")
    assert text.startswith("# a test\n")
    assert "source_prefix: '요약: '\n" in text
    assert "name_or_path: google/mt5-small\n" in text
    # Any other reader of YAML finds the same.
    assert yaml.safe_load(text)["model"]["source_prefix"] == "요약: "


def test_a_saved_config_never_asks_to_delete(plain: Config, tmp_path: Path) -> None:
    path = saved(replace(plain, overwrite_output_dir=True), tmp_path)
    assert load_config(path) == plain
    path.write_text(
        path.read_text().replace("overwrite_output_dir: false", "overwrite_output_dir: true")
    )
    with pytest.raises(ConfigError, match="can only be set on the command line") as raised:
        composed("--config-dir", str(tmp_path), "--config-name", "mine")
    assert [(one.key, one.where) for one in raised.value.problems] == [
        ("overwrite_output_dir", str(path))
    ]


@pytest.mark.parametrize(
    ("content", "key", "what"),
    [
        (
            {"model": {"source_prefix": "${oc.env:HF_TOKEN}"}},
            "model.source_prefix",
            "interpolation",
        ),
        ({"tracking": {"tags": ["a", "${seed}"]}}, "tracking.tags", "contains the interpolation"),
        ({"model": {"architecture": {"_target_": "os.system"}}}, "model.architecture", "code"),
        ({"model": {"_target_": "os.system"}}, "model._target_", "code"),
        ({"hydra": {"run": {"dir": "/"}}, "seed": 1}, "hydra", "has no hydra"),
        ({"training": {"hub_token": "abcdefgh"}}, "training.hub_token", "secret"),
        ({"tracking": {"run_name": "hf_" + "a" * 30}}, "tracking.run_name", "secret"),
        ({"seed": "one"}, "seed", "not an integer"),
        ({"sead": 1}, "sead", "no such key"),
        ({"model": {"beams": 1}}, "model.beams", "no such key"),
        ({"model": 3}, "model", "is a group of keys"),
    ],
)
def test_what_no_run_would_have_saved_is_rejected(
    content: dict[str, Any], key: str, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(ConfigError, match=what) as raised:
        read_saved(path)
    assert [(one.key, one.where) for one in raised.value.problems] == [(key, str(path))]
    assert "hf_of_the_environment" not in str(raised.value)


@pytest.mark.parametrize(
    "text",
    ["a: [b", "- a", "", "a", "a: !!python/object:os.system {}", "a: &x [1]\nb: [*x, *x]", "\x00"],
)
def test_what_is_no_config_is_one_problem_with_its_file(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        load_config(path)
    assert [one.where for one in raised.value.problems] == [str(path)]


def test_mistakes_in_the_config_of_a_run_are_reported_with_the_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text("seed: ${oc.env:HF_TOKEN}\nmodl: {}\n")
    with pytest.raises(ConfigError) as raised:
        composed("--config-dir", str(tmp_path), "--config-name", "mine")
    reported = [(one.key, one.where) for one in raised.value.problems]
    assert reported == [("seed", str(path)), ("modl", str(path))]
