"""A text key keeps what was written: on the command line, in files, in sweeps, in run folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from omegaconf import OmegaConf

from summexp.check import check
from summexp.command_line import parse
from summexp.config.saved import saved_yaml
from summexp.config.schema import Config
from summexp.config.texts import is_text, quoted, restore_texts
from summexp.config.typed import load_config

WRITTEN = [
    "1234567e8", "3.10", "1e-4", "+5", "-0", "007", "00", "1_000", "0x1F", "0o17", "2024-01-05",
    "12:30", "1:30:15", "true", "FALSE", "on", "off", "yes", "No", "y", "nan", "NaN", "inf", "-inf",
    ".5", "5.", ".nan", "None", "NA", "1e400", "123456789012345678901234567890",
]  # fmt: skip
"""Texts that Hydra, YAML 1.1 or OmegaConf may read as something else."""


def jobs(*words: str) -> list[Config]:
    return [job.config for job in check(parse([*words, "debug=tiny"]))]


def test_on_the_command_line() -> None:
    for start in range(0, len(WRITTEN), 4):
        one, two, three, four = (WRITTEN[start : start + 4] + WRITTEN[:3])[:4]
        (config,) = jobs(
            f"model.revision={one}",
            f"tracking.run_name={two}",
            f"tracking.tags=[{one},{two}, {three} ,null,'4']",
            f"output_dir={four}",
            f"model.lang={three}",
        )
        assert (config.model.revision, config.tracking.run_name) == (one, two)
        assert config.tracking.tags == [one, two, three, "null", "4"]
        assert (config.output_dir, config.model.lang) == (four, three)


def test_null_unsets_and_other_types_are_read_as_ever() -> None:
    (config,) = jobs("model.revision=null", "seed=1_0", "training.learning_rate=1e-4")
    assert (config.model.revision, config.seed) == (None, 10)
    assert config.training.learning_rate == 1e-4
    assert not is_text("seed")
    assert not is_text("training.fsdp")  # text or a boolean
    assert not is_text("model.architecture.d_model")
    assert is_text("data.validation_files.a")


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("model.revision=1e4,2e4,null", 'model.revision="1e4","2e4",null'),
        ("model.revision=choice(1e4, a,true)", 'model.revision=choice("1e4", a,"true")'),
        ("model.revision=shuffle(list=[1e4],x=1)", "model.revision=shuffle(list=[1e4],x=1)"),
        ("model.revision=range(1,3)", "model.revision=range(1,3)"),
        ("tracking.tags=[1],[2]", 'tracking.tags=["1"],["2"]'),
        ("data.validation_files={a: 1e4, 2: 3, b: null}", None),
        ("++data.validation_files.a=7", '++data.validation_files.a="7"'),
        ("generation.stop_strings=[3,1.0]", 'generation.stop_strings=["3","1.0"]'),
        ("model.revision='1e4'", "model.revision='1e4'"),
        ("model.revision=${seed}", "model.revision=${seed}"),
        ("model.revision=", "model.revision="),
        ("model.revision=(1", "model.revision=(1"),
        ("model.revision", "model.revision"),
        ("~model.revision", "~model.revision"),
        ("seed=1e4", "seed=1e4"),
        ("model=3.10,1e4", 'model="3.10","1e4"'),
        ("hydra/launcher=1e4", 'hydra/launcher="1e4"'),
        ("hydra.launcher.account=1e4", 'hydra.launcher.account="1e4"'),
        ("hydra.launcher.setup=[1e4]", 'hydra.launcher.setup=["1e4"]'),
        ("hydra.launcher.mem_gb=1e4", "hydra.launcher.mem_gb=1e4"),
        ("hydra.run.dir=1e-4", 'hydra.run.dir="1e-4"'),
        ("model.nothing=1e4", "model.nothing=1e4"),
    ],
)
def test_quotes(word: str, expected: str | None) -> None:
    assert quoted(word) == (expected or 'data.validation_files={a: "1e4", 2: "3", b: null}')


def test_in_a_sweep() -> None:
    found = jobs("-m", "model.revision=1e4,3.10,null,off", "seed=1,2")
    assert [(job.model.revision, job.seed) for job in found] == [
        (revision, seed) for revision in ("1e4", "3.10", None, "off") for seed in (1, 2)
    ]


def in_a_file(text: str, package: str = "") -> Any:
    content = OmegaConf.create(text)
    restore_texts(content, text, package)
    return OmegaConf.to_container(content)


def test_in_a_file() -> None:
    for written in WRITTEN:
        text = f"revision: {written}\nfreeze: [{written}, ~]\narchitecture: {{d_model: 8}}\n"
        assert in_a_file(text, "model") == {
            "revision": written,
            "freeze": [written, "~"],
            "architecture": {"d_model": 8},
        }
    assert in_a_file(
        "seed: 010\n"
        "base: &base {run_name: 1e4, project: 2}\n"
        "tracking: {<<: *base, project: 3.10}\n"
        "data: {validation_files: {1e4: 5, b: , off: x}, config_name: ~, revision: !!str 3}\n"
        "hydra: {sweeper: {params: {model.revision: '1e4,2e4', seed: '1,2', output_dir: 1e4}}}\n"
    ) == {
        "seed": 8,
        "base": {"run_name": 10000.0, "project": 2},
        "tracking": {"run_name": "1e4", "project": "3.10"},
        "data": {
            "validation_files": {"1e4": "5", "b": None, "off": "x"},
            "config_name": None,
            "revision": "3",
        },
        "hydra": {
            "sweeper": {
                "params": {
                    "model.revision": '"1e4","2e4"', "seed": "1,2", "output_dir": '"1e4"',
                }
            }
        },
    }  # fmt: skip
    launcher = "account: 1e4\nnodes: 010\nsetup: [off]\n"
    assert in_a_file(launcher, "hydra.launcher") == {"account": "1e4", "nodes": 8, "setup": ["off"]}
    # Mistakes are left to the checks.
    assert in_a_file("model: 1\ntracking: {run_name: {a: 1}}\n") == {
        "model": 1,
        "tracking": {"run_name": {"a": "1"}},
    }


def test_in_the_user_s_own_choices(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in {
        "experiment/mine.yaml": "# @package _global_\n"
        "tracking: {run_name: 2024, tags: [2e3, off]}\n",
        "model/3.10.yaml": "init: random\narchitecture: {model_type: t5}\nrevision: 1234567e8\n",
    }.items():
        path = Path("own", name)
        path.parent.mkdir(parents=True)
        path.write_text(text, encoding="utf-8")
    words = ("--config-dir", "own", "experiment=mine", "model=3.10")
    for sweep in ([], ["-m"]):
        (config,) = jobs(*sweep, *words)
        assert (config.tracking.run_name, config.tracking.tags) == ("2024", ["2e3", "off"])
        assert config.model.revision == "1234567e8"


def test_in_a_run_s_config(tmp_path: Path) -> None:
    (config,) = jobs()
    config.tracking.tags = WRITTEN
    config.model.revision = "1e4"
    text = saved_yaml(config, "a run")
    (tmp_path / "config.yaml").write_text(text, encoding="utf-8")
    assert load_config(tmp_path / "config.yaml") == config
    # Also as another program, or someone with an editor, writes it.
    edited = yaml.safe_load(text)
    edited["tracking"]["tags"] = "TAGS"
    plain = yaml.safe_dump(edited).replace("TAGS", f"[{', '.join(WRITTEN)}]")
    (tmp_path / "config.yaml").write_text(plain, encoding="utf-8")
    assert load_config(tmp_path / "config.yaml").tracking.tags == WRITTEN
