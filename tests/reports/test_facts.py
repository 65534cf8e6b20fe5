import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from summexp.reports.facts import (
    command,
    duration,
    facts,
    is_hub_name,
    language_code,
    source_name,
    title,
)
from summexp.reports.run_results import read_run

MakeRun = Callable[..., Path]


def test_the_facts_of_a_run(run_folder: Path) -> None:
    assert {fact.name: fact.value for fact in facts(read_run(run_folder))} == {
        "Model": "T5ForConditionalGeneration, 1,478,912 parameters",
        "Data": "train 2,396 rows, validation 300 rows",
        "Training": "300 steps, 2 epochs, mean loss 2.103",
        "Started": "2025-11-21 22:05 UTC",
        "Time": "1 min 14 s (data 1.2 s, model 0.5 s, train 1 min 6 s, eval 6.2 s)",
        "Device": "cpu (2 threads)",
        "Software": "summexp 0.1.0, torch 2.13.0, transformers 5.23.0",
        "Commit": "0123456789ab with uncommitted changes",
    }


def test_what_is_not_known_is_left_out(failed_folder: Path) -> None:
    names = [fact.name for fact in facts(read_run(failed_folder))]
    assert names == ["Started", "Time", "Software", "Commit"]


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (
            "model: {name_or_path: google-t5/t5-small, init: pretrained}\n"
            "data: {name: abisee/cnn_dailymail, config_name: 3.0.0}",
            "google-t5/t5-small on abisee/cnn_dailymail (3.0.0)",
        ),
        (
            "model: {name_or_path: /home/kim/models/mine, init: pretrained}\n"
            "data: {train_file: /x/train.csv, test_file: /x/t.csv}",
            "mine on train.csv",
        ),
        (
            "model: {name_or_path: google-t5/t5-small, init: random}\ndata: {name: news_briefs}",
            "T5 from random weights on news_briefs",
        ),
    ],
)
def test_title(make_run: MakeRun, config: str, expected: str) -> None:
    assert title(read_run(make_run(config=config))) == expected


def test_a_run_without_training_is_named_by_what_it_read(make_run: MakeRun) -> None:
    config = "data: {train_file: /x/train.csv, validation_file: /x/held_out.json}"
    health = {"splits": {"validation": {"rows": 5}}, "overlaps": []}
    run = read_run(make_run(config=config, history=None, data={"health": health}))
    assert title(run) == "T5 on held_out.json"


def test_the_source_of_each_set(make_run: MakeRun) -> None:
    config = "data: {validation_files: {web: /x/w.csv, news: /y/n.csv}, test_file: /x/t.csv}"
    run = read_run(make_run(config=config))
    assert [source_name(run, name) for name in ("eval_web", "eval_news", "predict")] == [
        "w.csv",
        "n.csv",
        "t.csv",
    ]


def test_a_folder_is_no_hub_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert is_hub_name("models/mine")
    (tmp_path / "models" / "mine").mkdir(parents=True)
    assert not is_hub_name("models/mine")
    assert not any(map(is_hub_name, ("./mine", "/models/mine", "~/mine", "a/b/c")))


@pytest.mark.parametrize(
    ("given", "signature", "code"),
    [("ko_KR", None, "ko"), (None, "rouge|lang:ja(script)|tok:x", "ja"), (None, None, None)],
)
def test_language_code(
    make_run: MakeRun, given: str | None, signature: str | None, code: str | None
) -> None:
    config = f"data: {{language: {given or 'null'}}}"
    assert language_code(read_run(make_run(config=config, metric=signature))) == code


def test_a_script_alone_is_no_language(make_run: MakeRun) -> None:
    assert language_code(read_run(make_run(metric="rouge|lang:und-Cyrl(script)|tok:x"))) is None


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.04, "0.0 s"), (59.94, "59.9 s"), (59.96, "1 min 0 s"), (3599.6, "1 h 0 min")],
)
def test_duration(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("argv", "line"),
    [
        (["python", "train.py", "a=b c"], "python train.py 'a=b c'"),
        (["summexp", "train", "seed=1"], "summexp train seed=1"),
        (["torchrun", "train.py", 'a="$x"'], "torchrun train.py 'a=\"$x\"'"),
    ],
)
def test_command(make_run: MakeRun, argv: list[str], line: str) -> None:
    assert command(read_run(make_run(argv=argv))) == line


@pytest.mark.parametrize(
    ("word", "published"),
    [
        ("/home/kim/train.py", "train.py"),
        ("data.train_file=/home/kim/a.csv", "data.train_file=a.csv"),
        ("data.train_file=/home/kim/project/in/a.csv", "data.train_file=in/a.csv"),
        ('data.train_file="/home/kim/본문/a b.csv"', 'data.train_file="a b.csv"'),
        ("data.validation_files={a: /home/kim/x/a.csv}", "data.validation_files={a: a.csv}"),
        ("output_dir=~/x/out", "output_dir=out"),
        ("--config-dir=/home/kim/project/mine", "--config-dir=mine"),
        ("/home/kim/project/mine", "mine"),
        ("a=b/c", "a=b/c"),
        ('model.source_prefix="/sum: \\${x} "', 'model.source_prefix="/sum: \\${x} "'),
        ('tracking.run_name="\\${x}"', 'tracking.run_name="\\${x}"'),
    ],
)
def test_a_published_command_does_not_show_folders(
    word: str, published: str, make_run: MakeRun
) -> None:
    run = read_run(make_run(argv=["python", "train.py", word], cwd="/home/kim/project"))
    line = command(run, with_folders=False)
    assert line is not None
    assert shlex.split(line) == ["python", "train.py", published]


def test_the_weights_of_an_adapter_are_not_of_the_model(make_run: MakeRun) -> None:
    model = {"architecture": "T5ForConditionalGeneration", "parameters": 1000, "trainable": 40}
    frozen = facts(read_run(make_run("frozen", model=model)))
    assert ("Model", "T5ForConditionalGeneration, 1,000 parameters, 40 of them trained") in frozen
    lora = facts(read_run(make_run("lora", model=model | {"adapted": ["q", "v"]})))
    assert (
        "Model",
        "T5ForConditionalGeneration, 1,000 parameters, 40 in a LoRA adapter trained",
    ) in lora
