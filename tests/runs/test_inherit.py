"""A command that names a run folder needs to say only what is new."""

from __future__ import annotations

import copy
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.metrics.evaluate_modules import write_metric

from summexp.check import check
from summexp.command_line import parse
from summexp.config.saved import saved_yaml
from summexp.config.schema import Config
from summexp.errors import ConfigError, Problem
from summexp.launch.hydra_jobs import CheckedJob
from summexp.run_folder.atomic_files import write_json
from summexp.runs.resume import evaluation_digest, plan_run

TRAINED = (
    "model=bart_base",
    "debug=none",
    "offline=false",
    "data=custom_csv",
    "data.train_file=train.csv",
    "data.validation_file=dev.csv",
    "data.text_column=body",
    "data.summary_column=gist",
    "data.max_source_length=99",
    "model.source_prefix='요약: '",
    "model.init=random",
    "model.architecture={model_type: bart, d_model: 16}",
    "model.trust_remote_code=true",
    "model.cache_dir=models",
    "generation=beam4",
    "metric.names=[rouge,novelty]",
    "training.learning_rate=0.002",
    "training.num_train_epochs=2",
    "training.push_to_hub=true",
    "training.hub_model_id=me/mine",
    "training.do_predict=true",
    "data.test_file=dev.csv",
    "data.overwrite_cache=true",
    "seed=7",
    "engine.sampler=upstream",
    "tracking=tensorboard",
    "hardware=cpu",
    "output_dir=out1",
)
CHOICES = {"model": "bart_base", "data": "custom_csv", "generation": "beam4", "training": "default"}
PREDICT = ("output_dir=out1", "training.do_predict=true", "data.test_file=new.csv")


def checked(*words: str) -> CheckedJob:
    return check(parse(list(words)))[0]


def composed(*words: str) -> Config:
    return checked(*words).config


def problems(*words: str) -> list[Problem]:
    with pytest.raises(ConfigError) as raised:
        checked(*words)
    return raised.value.problems


def csv(path: Path, columns: str = "body,gist") -> None:
    path.write_text(f"{columns}\n" + "It rained. All day.,Rain.\n" * 3, encoding="utf-8")


def place_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    for name in ("train.csv", "dev.csv", "new.csv"):
        csv(folder / name)


@pytest.fixture(scope="module")
def composed_once(tmp_path_factory: pytest.TempPathFactory) -> Config:
    with pytest.MonkeyPatch.context() as monkeypatch:
        place_files(tmp_path_factory.mktemp("inherit"), monkeypatch)
        return composed(*TRAINED)


@pytest.fixture
def trained(composed_once: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Config:
    """The config of a run in `out1`, which has trained, evaluated and predicted."""
    place_files(tmp_path, monkeypatch)
    Path("out1").mkdir()
    save(composed_once)
    return copy.deepcopy(composed_once)


def save(config: Config, **entries: Any) -> None:
    Path("out1/config.yaml").write_text(saved_yaml(config, "a run"), encoding="utf-8")
    phases = {"train": {"steps": 2, "epochs": 2.0}, "eval": evaluation_digest(config)}
    record = {"status": "finished", "phases": phases, "choices": CHOICES, **entries}
    write_json(Path("out1/run.json"), record)


def edit(**sections: dict[str, Any]) -> None:
    path = Path("out1/config.yaml")
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    for name, entries in sections.items():
        content[name] |= entries
    path.write_text(yaml.safe_dump(content), encoding="utf-8")


def test_prediction_needs_no_word_about_what_was_trained(trained: Config) -> None:
    job = checked(*PREDICT)
    config = job.config
    assert config.model.architecture == trained.model.architecture
    assert config.model.source_prefix == "요약: "
    assert config.data.test_file == "new.csv"
    assert config.data.text_column == "body"
    assert config.data.max_source_length == 99
    assert config.generation == trained.generation
    assert config.metric == trained.metric
    assert config.engine == trained.engine
    assert (config.seed, config.training.learning_rate) == (7, 0.002)
    plan = plan_run(config, Path("out1"))
    assert (plan.train, plan.evaluate, plan.predict) == (False, False, True)
    line = str(job.inherited)
    assert line.startswith("inherited from out1/config.yaml: ")
    assert "seed" in line.partition(": ")[2].split(", ")
    assert "model (3)" in line


@pytest.mark.usefixtures("trained")
def test_what_deletes_publishes_or_is_of_a_machine_is_never_inherited() -> None:
    config = composed(*PREDICT)
    assert config.model.trust_remote_code is False
    assert config.model.cache_dir is None
    assert config.training.push_to_hub is False
    assert config.training.hub_model_id is None
    assert composed("output_dir=out1").training.do_predict is False
    assert config.data.overwrite_cache is False
    assert config.tracking.trackers == []
    assert config.hardware.backend == "auto"
    assert config.offline is False
    edit(training={"fp16": True, "deepspeed": {"zero_optimization": {"stage": 2}}})
    assert composed(*PREDICT).training.fp16 is False
    assert composed(*PREDICT).training.deepspeed is None


@pytest.mark.usefixtures("trained")
def test_code_of_others_that_computes_a_metric_is_never_inherited(tmp_path: Path) -> None:
    write_metric(tmp_path / "coverage")
    folder = Path("out1")
    saved = yaml.safe_load((folder / "config.yaml").read_text("utf-8"))
    saved["metric"] |= {
        "names": ["rouge", "evaluate:./coverage"],
        "evaluate_kwargs": {"coverage": {"power": 2}},
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(saved), "utf-8")
    with pytest.raises(ConfigError) as error:
        checked(*PREDICT)
    (problem,) = error.value.problems
    assert problem.key == "metric.names"
    assert "evaluate:coverage, which out1/config.yaml names, runs code" in problem.what
    assert problem.hint is not None
    again, without = problem.hint.partition(": ")[2].splitlines()
    config = composed(*PREDICT, *shlex.split(again))
    assert config.metric.names == ["rouge", "evaluate:./coverage"]
    assert config.metric.kwargs_of("coverage") == {"power": 2}
    config = composed(*PREDICT, *shlex.split(without.partition(": ")[2]))
    assert (config.metric.names, dict(config.metric.evaluate_kwargs)) == (["rouge"], {})
    # A file that the run had chosen too does not bring in what the folder made of it.
    assert "evaluate:./coverage" not in composed(*PREDICT, "metric=rouge").metric.names


@pytest.mark.usefixtures("trained")
def test_more_epochs_need_no_other_word() -> None:
    config = composed("output_dir=out1", "training.num_train_epochs=3")
    assert plan_run(config, Path("out1")).train
    assert config.data.train_file == "train.csv"
    # Where steps had ended it, epochs do now.
    edit(training={"max_steps": 2})
    config = composed("output_dir=out1", "training.num_train_epochs=3")
    assert (config.training.max_steps, config.training.num_train_epochs) == (-1, 3)
    # The same word as then asks for nothing new.
    config = composed("output_dir=out1", "training.num_train_epochs=2")
    assert (config.training.max_steps, config.training.num_train_epochs) == (2, 2)


def test_prediction_works_without_the_files_of_the_training(trained: Config) -> None:
    for name in ("train.csv", "dev.csv"):
        Path(name).unlink()
    # Without the file its digest is its name.
    save(trained)
    assert plan_run(composed(*PREDICT), Path("out1")).predict
    (reported,) = problems("output_dir=out1", "training.num_train_epochs=3")[:1]
    assert (reported.key, reported.where) == ("data.train_file", "out1/config.yaml")


def test_a_run_that_held_out_a_share_predicts_another_file(trained: Config) -> None:
    shares = {"validation_share": 0.5, "test_share": 0.3}
    data = replace(trained.data, **shares, validation_file=None, test_file=None)
    for number in range(2, 20):
        with Path("train.csv").open("a", encoding="utf-8") as file:
            file.write(f"It rained for {number} days.,Rain.\n")
    save(replace(trained, data=data))
    config = composed(*PREDICT)
    assert (config.data.test_share, config.data.test_file) == (0.3, "new.csv")
    plan = plan_run(config, Path("out1"))
    assert (plan.train, plan.evaluate, plan.predict) == (False, False, True)
    # What was held out is not trained on later either.
    save(config)
    assert composed("output_dir=out1", "training.num_train_epochs=3").data.test_share == 0.3
    plan = plan_run(composed("output_dir=out1", "data.validation_file=dev.csv"), Path("out1"))
    assert (plan.train, plan.evaluate) == (False, True)


def test_a_file_with_other_columns_is_predicted_by_their_names(trained: Config) -> None:
    csv(Path("new.csv"), "본문,요약")
    (reported,) = problems(*PREDICT)
    assert (reported.key, reported.where) == ("data.text_column", "out1/config.yaml")
    assert reported.hint == "Set data.text_column=COLUMN to one of its columns: 본문, 요약"
    words = (*PREDICT, "data.text_column=본문", "data.summary_column=요약")
    config = composed(*words)
    assert plan_run(config, Path("out1")).predict
    (reported, _) = problems(*words, "training.num_train_epochs=3")[-2:]
    assert reported.what == "was 'gist' in the run in out1, and is '요약' now"
    # As the run leaves its folder: the columns of the training are those of the record.
    columns = {"text_column": "body", "summary_column": "gist"}
    save(config, trained_with={"columns": columns})
    config = composed("output_dir=out1", "training.num_train_epochs=3", "data.test_file=dev.csv")
    assert (config.data.text_column, config.data.summary_column) == ("body", "gist")
    assert plan_run(config, Path("out1")).train
    # What a forged record holds is left out.
    save(trained, trained_with={"columns": {"text_column": ["a"], "output_dir": "b"}})
    config = composed("output_dir=out1")
    assert (config.data.text_column, config.output_dir) == ("body", "out1")


def test_a_file_of_ones_own_is_predicted_with_a_model_of_a_dataset(trained: Config) -> None:
    data = replace(
        trained.data,
        name="abisee/cnn_dailymail",
        config_name="3.0.0",
        text_column="article",
        train_file=None,
        validation_file=None,
        test_file=None,
    )
    save(replace(trained, data=data))
    csv(Path("new.csv"), "document,summary")
    config = composed(*PREDICT)
    assert (config.data.name, config.data.test_file) == ("abisee/cnn_dailymail", "new.csv")
    csv(Path("new.csv"), "본문,요약")
    (reported,) = problems(*PREDICT)
    assert reported.key == "data.text_column"
    assert composed(*PREDICT, "data.text_column=본문").data.text_column == "본문"


def test_a_file_is_predicted_with_a_model_of_the_bundled_corpus(trained: Config) -> None:
    own = replace(trained.data, name="news_briefs", train_file=None, validation_file=None)
    own = replace(own, text_column=None, summary_column=None, test_file=None)
    save(replace(trained, data=own))
    csv(Path("new.csv"), "본문,요약")
    config = composed(*PREDICT, "data.text_column=본문", "data.summary_column=요약")
    assert plan_run(config, Path("out1")).predict
    columns = {"text_column": None, "summary_column": None, "id_column": None}
    save(config, trained_with={"columns": columns})
    # The file belongs to that prediction: neither a finished run nor more training is refused it.
    for words in ((), ("training.num_train_epochs=3",)):
        data = composed("output_dir=out1", *words).data
        assert (data.name, data.test_file, data.text_column) == ("news_briefs", None, None)


def test_what_chose_the_best_checkpoint_needs_no_evaluation_to_predict(trained: Config) -> None:
    training = replace(trained.training, load_best_model_at_end=True)
    engine = replace(trained.engine, early_stopping_patience=2)
    save(replace(trained, training=training, engine=engine))
    off = ("training.do_train=false", "training.do_eval=false")
    assert composed(*PREDICT, *off).training.load_best_model_at_end


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize(
    ("line", "keys"),
    [
        (
            "training.learning_rate=0.1 model.architecture.d_model=8 seed=1 "
            "data.text_column=gist data.summary_column=body",
            {"training.learning_rate", "model.architecture.d_model", "seed", "data.summary_column"},
        ),
        ("data=xsum", {"data.name"}),
    ],
)
def test_words_that_contradict_the_training_are_rejected(line: str, keys: set[str]) -> None:
    reported = problems("output_dir=out1", *line.split())
    assert keys <= {one.key for one in reported}
    text = "\n".join(map(str, reported))
    # What deletes is named once, behind all that does not.
    assert text.count("overwrite_output_dir") == 1
    assert text.endswith(
        "To delete the run in out1 and start a new one: overwrite_output_dir=true."
    )
    first = reported[0]
    assert first.hint is not None
    assert first.hint.startswith(f"Set {first.key}=")


@pytest.mark.usefixtures("trained")
def test_another_model_is_one_problem() -> None:
    reported = problems("output_dir=out1", "model=t5_tiny")
    (model,) = (one for one in reported if (one.key or "").startswith("model"))
    assert (model.key, model.where) == ("model", "command line")
    assert model.what.startswith("differs from that of the run in out1 in ")
    assert (model.hint or "").startswith("Remove model=… to resume with the model of the run, or")


@pytest.mark.usefixtures("trained")
def test_one_of_two_keys_replaces_the_other() -> None:
    csv(Path("other.csv"))
    config = composed("output_dir=out1", "data.validation_files.other=other.csv")
    assert config.data.validation_file is None
    assert config.data.validation_files == {"other": "other.csv"}
    edit(generation={"max_new_tokens": 9})
    config = composed("output_dir=out1", "generation.max_length=20")
    assert (config.generation.max_length, config.generation.max_new_tokens) == (20, None)


@pytest.mark.usefixtures("trained")
def test_a_group_that_is_named_replaces_that_of_the_folder() -> None:
    config = composed(*PREDICT, "generation=greedy", "metric=rouge")
    assert config.generation == composed("generation=greedy").generation
    assert config.metric == composed("metric=rouge").metric
    assert config.model.source_prefix == "요약: "


def test_a_choice_that_has_changed_since_holds_as_it_was_but_not_for_more_training(
    trained: Config,
) -> None:
    mine = Path("mine/model/own.yaml")
    mine.parent.mkdir(parents=True)
    text = "# @package _global_\nmodel:\n  init: random\n  architecture: {model_type: bart}\n"
    mine.write_text(f"{text}  source_prefix: 'old: '\ntraining:\n  warmup_steps: 3\n")
    own = ("--config-dir", "mine", "model=own")
    words = ("data=custom_csv", "data.train_file=train.csv", "data.validation_file=dev.csv")
    columns = ("data.text_column=body", "data.summary_column=gist", "output_dir=out1")
    Path("out1/run.json").unlink()
    Path("out1/config.yaml").unlink()
    config = composed(
        *own, *words, *columns, "training.num_train_epochs=2", "training.max_steps=-1"
    )
    save(config, choices={**CHOICES, "model": "own"})
    mine.write_text(f"{text}  source_prefix: 'new: '\ntraining:\n  warmup_steps: 4\n")
    again = composed(*own, *PREDICT)
    assert (again.model.source_prefix, again.training.warmup_steps) == ("old: ", 3)
    # Named without its files, the corpus is the one that was trained on.
    assert composed(*PREDICT, "data=custom_csv").data.train_file == "train.csv"
    reported = problems(*own, "output_dir=out1", "training.num_train_epochs=3")
    assert {(one.key, one.where) for one in reported} == {
        ("model.source_prefix", "mine/model/own.yaml"),
        ("training.warmup_steps", "mine/model/own.yaml"),
    }
    # Chosen now and not then, it is a contradiction.
    save(config, choices={**CHOICES, "model": trained.model.name_or_path})
    assert problems(*own, *PREDICT)[0].key == "model.source_prefix"


def test_other_precision_is_rejected_for_more_training_only(trained: Config) -> None:
    options = {"training.bf16": True}
    before = {"rows_a_step": 16, "world_size": 2, "cores": 1, "options": options}
    # The last command has predicted, in one process.
    save(trained, trained_with=before, world_size=1)
    assert plan_run(composed(*PREDICT), Path("out1")).predict
    reported = problems("output_dir=out1", "training.num_train_epochs=3")
    assert {one.key for one in reported} == {
        "training.bf16",
        "training.per_device_train_batch_size",
    }
    save(trained, trained_with={**before, "options": {}}, world_size=1)
    same = ("training.num_train_epochs=3", "training.per_device_train_batch_size=16")
    assert plan_run(composed("output_dir=out1", *same), Path("out1")).train


@pytest.mark.parametrize(
    ("words", "record"),
    [
        (("-m", "seed=1,2", "output_dir=out1"), {}),
        (("output_dir=out1", "overwrite_output_dir=true"), {}),
        (("output_dir=out2",), {}),
        (("output_dir=out1",), {"status": "failed", "phases": {}}),
    ],
)
def test_nothing_is_inherited_from_what_is_not_this_run(
    words: tuple[str, ...], record: dict[str, Any], trained: Config
) -> None:
    save(trained, **record)
    job = checked(*words)
    assert job.inherited is None
    assert job.config.model.name_or_path is None
    assert job.config.data.name == "news_briefs"


@pytest.mark.parametrize(
    ("section", "entries", "key", "what"),
    [
        ("model", {"source_prefix": "${oc.env:HF_TOKEN}"}, "model.source_prefix", "interpolation"),
        ("model", {"_target_": "os.system"}, "model._target_", "code"),
        ("model", {"architecture": {"_target_": "a.b"}}, "model.architecture", "code"),
        ("tracking", {"run_name": "hf_" + "a" * 30}, "tracking.run_name", "secret"),
        ("data", {"newer_key": 1}, "data.newer_key", "no such key"),
        ("training", {"learning_rate": "fast"}, "training.learning_rate", "not a number"),
        ("training", {"max_steps": 0}, "training.max_steps", "at least 1"),
    ],
)
def test_the_folder_is_not_trusted(
    section: str,
    entries: dict[str, Any],
    key: str,
    what: str,
    trained: Config,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_environment")
    save(trained, versions={"summexp": "99.0"})
    edit(**{section: entries})
    (reported,) = problems(*PREDICT)
    assert (reported.key, reported.where) == (key, "out1/config.yaml")
    assert what in reported.what
    assert "hf_of_the_environment" not in str(reported)
    if what == "no such key":
        assert reported.hint is not None
        assert reported.hint.startswith("The run is of summexp 99.0, and this is ")


@pytest.mark.usefixtures("trained")
def test_a_key_that_the_folder_does_not_know_yet_has_its_default() -> None:
    content = yaml.safe_load(Path("out1/config.yaml").read_text(encoding="utf-8"))
    del content["data"]["chunk_overlap"], content["metric"]
    Path("out1/config.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    assert composed(*PREDICT).metric == composed().metric


@pytest.mark.usefixtures("trained")
def test_the_shown_config_is_the_one_that_would_run(capsys: pytest.CaptureFixture[str]) -> None:
    from summexp.entry import main

    with pytest.raises(SystemExit) as ended:
        main([*PREDICT, "--cfg", "job"])
    printed = capsys.readouterr()
    assert ended.value.code == 0
    shown = yaml.safe_load(printed.out)
    assert shown["data"]["text_column"] == "body"
    assert shown["model"]["architecture"]["d_model"] == 16
    assert printed.err.startswith("inherited from out1/config.yaml: ")
