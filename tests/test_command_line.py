# ruff: noqa: RUF001 -- the wide signs of an input method are what is tested here
from __future__ import annotations

from summexp.command_line import parse


def test_flags_may_stand_anywhere() -> None:
    command = parse(["model=t5_tiny", "-m", "seed=1,2", "--config-dir", "own", "debug=tiny"])
    assert command.multirun
    assert command.config_dir == "own"
    assert command.overrides == ["model=t5_tiny", "seed=1,2", "debug=tiny"]
    # Hydra itself refuses a flag between the words.
    assert command.for_hydra == ["-m", "--config-dir", "own", *command.overrides]


def test_what_is_asked_for() -> None:
    assert parse([]).starts_a_run
    assert parse(["--help"]).wants_help
    assert parse(["--version"]).wants_version
    shown = parse(["--cfg", "job", "--package", "model", "--resolve"])
    assert (shown.starts_a_run, shown.shows_job, shown.package) == (False, True, "model")
    assert shown.resolve


def test_words_in_any_script_need_no_quotes_of_their_own() -> None:
    words = ["data.text_column=본문", "model.source_prefix=要約: ", "output_dir=결과 1/é"]
    command = parse(words)
    assert command.overrides == [
        'data.text_column="본문"', 'model.source_prefix="要約: "', 'output_dir="결과 1/é"'
    ]  # fmt: skip
    assert command.for_hydra == command.overrides
    # What is quoted, or ASCII, stays as it is.
    as_it_is = ["data.text_column='본문'", "metric.names=[a,'나']", "output_dir=a b", "seed=1,2"]
    assert parse(as_it_is).overrides == as_it_is
    inside = ["tracking.tags=[요약,실험 2, a]", "data.validation_files={a: 記事.jsonl,b: 'ㄱ, b'}"]
    assert parse(inside).overrides == [
        'tracking.tags=["요약","실험 2", a]',
        "data.validation_files={a: \"記事.jsonl\",b: 'ㄱ, b'}",
    ]
    # A wide comma parts nothing, and is told.
    assert parse(["metric.names=[가，나]"]).overrides == ["metric.names=[가，나]"]


def test_a_secret_is_passed_to_nobody() -> None:
    command = parse(["training.hub_token=x", "seed=1", "--hub_token", "y"])
    assert command.overrides == ["seed=1"]
    assert command.for_hydra == ["seed=1"]
    assert [problem.key for problem in command.problems] == ["training.hub_token", "hub_token"]
