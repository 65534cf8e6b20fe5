# ruff: noqa: RUF001 -- the wide signs of an input method are what is tested here
"""User errors: each is reported with its key, its source and the nearest name."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from summexp.check import check, lock_folder
from summexp.command_line import parse
from summexp.config.compose import shown_config
from summexp.config.error_report import format_error
from summexp.errors import ConfigError, Problem
from summexp.launch.hydra_jobs import CheckedJob

WORD = "command line"
TOKEN = "hf_" + "a1B2" * 8
MTS = Path(__file__).resolve().parents[2] / "shared" / "data" / "mts_dialog"


@pytest.fixture(autouse=True)
def nothing_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    yield
    assert not [path for path in tmp_path.iterdir() if path.name in ("outputs", "multirun")]


def jobs(line: str) -> list[CheckedJob]:
    return check(parse(shlex.split(line)))


def problems(line: str) -> list[Problem]:
    with pytest.raises(ConfigError) as raised:
        jobs(line)
    assert raised.value.exit_code == 2
    message = format_error(raised.value)
    assert "Traceback" not in message
    assert "append" not in message
    return raised.value.problems


def own(name: str, body: str, *, header: str = "# @package _global_\n") -> str:
    path = Path("own", f"{name}.yaml")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(header + body, encoding="utf-8")
    return str(path)


MISTAKES_IN_OVERRIDES = [
    # what Hydra's grammar keeps to ASCII
    ("data.validation_files.뉴스=a.csv", "data.validation_files.뉴스", "in Latin letters"),
    ("data.text_column=본문(글)", "data.text_column", "'data.text_column=\"본문(글)\"'"),
    # what an input method makes of a sign
    ("model＝t5_tiny", None, "Did you mean 'model=t5_tiny'?"),
    (
        "debug=tiny　training.max_steps=2",
        None,
        "Did you mean 'debug=tiny training.max_steps=2'",
    ),
    ("metric.names=[rouge，novelty]", None, "Did you mean 'metric.names=[rouge,novelty]'?"),
    ("debug=ＴＩＮＹ", "debug", "Did you mean 'tiny'?"),
    ("training.learning_rate = 1e-4", None, "Write training.learning_rate=1e-4"),
    ("training.learning_rate =1e-4", None, "Write training.learning_rate=1e-4"),
    # a key
    ("sweep.on_failure=ignore", "sweep.on_failure", "--help lists every key"),
    ("model.name=a/b", "model.name", "Did you mean 'model.name_or_path'?"),
    ("training.learnin_rate=1e-4", "training.learnin_rate", "'training.learning_rate'"),
    ("learning_rate=1e-4", "learning_rate", "'training.learning_rate'"),
    ("modle=t5_small", "modle", "'model'"),
    ("mdoel.lang=ko_KR", "mdoel.lang", "'model.lang'"),
    # what transformers 5 removed
    ("training.warmup_ratio=0.1", "training.warmup_ratio", "Set training.warmup_steps instead"),
    ("training.logging_dir=x", "training.logging_dir", "curves are in tracking/"),
    ("training.no_cuda=true", "training.no_cuda", "Set hardware=cpu instead."),
    ("training.adafactor=true", "training.adafactor", "Set training.optim=adafactor instead."),
    ("group_by_length=true", "group_by_length", "the default order of the rows groups them"),
    (
        "training.overwrite_output_dir=true",
        "training.overwrite_output_dir",
        "'overwrite_output_dir'",
    ),
    # Hydra's own
    ("hydra.job.nam=x", "hydra.job.nam", "'hydra.job.name'"),
    ("model.name_or_path", "model.name_or_path", "Write model.name_or_path=VALUE"),
    # a plus or a tilde
    ("+training.learning_rate=1", "training.learning_rate", "the plus: training.learning_rate=1"),
    ("++training.learning_rate=1", "training.learning_rate", "the plus: training.learning_rate=1"),
    ("+training.foo=1", "training.foo", "--help"),
    ("~training.learning_rate", "training.learning_rate", "Remove it"),
    ("+model=t5_small", "model", "Remove the plus: model=t5_small"),
    ("~model", "model", "Choose another"),
    # a choice
    ("model=t5_smal", "model", "Did you mean 't5_small'"),
    ("model=", "model", "Available: bart_base"),
    ("model=google-t5/t5-small", "model", "model=custom model.name_or_path=google-t5/t5-small"),
    ("data=a/b.jsonl.gz", "data", "data=custom_json data.train_file=a/b.jsonl.gz"),
    ("data=knkarthick/samsum", "data", "data=custom_hub data.name=knkarthick/samsum"),
    ("debug=[tiny,profile]", "debug", "max_samples_50"),
    ("hydra/launcher=basik", "hydra/launcher", "'basic'"),
    # a value
    ("training.max_steps=abc", "training.max_steps", None),
    ("training.max_steps=1e3", "training.max_steps", "1000"),
    ("training.max_steps=null", "training.max_steps", None),
    ("training.fp16=maybe", "training.fp16", None),
    ("seed=true", "seed", None),
    ("training.save_strategy=bogus", "training.save_strategy", "steps, epoch, best"),
    ("training.lr_scheduler_type=cosin", "training.lr_scheduler_type", "'cosine'"),
    ("training.eval_strategy=false", "training.eval_strategy", "Write training.eval_strategy=no."),
    ("model.freeze=encoder", "model.freeze", "model.freeze=[encoder]"),
    ("model.architecture=5", "model.architecture", None),
    ("generation.bad_words_ids=[[1,a]]", "generation.bad_words_ids", None),
    ("data.text_column=", "data.text_column", "null"),
    ("metric=rouge_txt", "metric", "'rouge_text'"),
    ("metric.name=rouge", "metric.name", "Did you mean 'metric.names'?"),
    ("training.lr_scheduler_kwargs.a=2", "training.lr_scheduler_kwargs.a", "{a: 2}"),
    # a sweep
    ("seed=1,2", "seed", "Add -m to run 2 jobs"),
    ("tracking.tags=a,b", "tracking.tags", "Write a list: tracking.tags=[a,b], or add -m"),
    ("metric.names=[rouge;novelty]", "metric.names", "Separate items by commas"),
    # another name, or none
    ("training.seed=1", "training.seed", "Set seed instead."),
    ("hydra.run.dir=x", "hydra.run.dir", "Set output_dir instead."),
    ("hydra.searchpath=[x]", "hydra.searchpath", "--config-dir"),
    # code
    ("hydra.launcher._target_=os.system", "hydra.launcher._target_", "conf/"),
    ("+hydra.callbacks.x._target_=os.system", "hydra.callbacks.x._target_", "conf/"),
    ("'model.architecture={_target_: os.system}'", "model.architecture", "conf/"),
]
"""Command lines, each with one word that is wrong, its key, and part of the hint."""
BATCHES = 8


@pytest.mark.parametrize("number", range(BATCHES))
def test_mistakes_in_overrides(number: int) -> None:
    """All of a command line are reported at once, in the order in which they were typed."""
    batch = MISTAKES_IN_OVERRIDES[number::BATCHES]
    found = problems(" ".join(line for line, _, _ in batch))
    assert [problem.key for problem in found] == [key for _, key, _ in batch]
    for problem, (line, _, hint) in zip(found, batch, strict=True):
        assert hint is None or hint in (problem.hint or ""), line


@pytest.mark.parametrize(
    ("line", "key", "hint"),
    [
        # a key
        ("--overwrite_output_dir", None, "Keys have no dashes: overwrite_output_dir=true"),
        ("--config mine.yaml", None, "Write the full name of one of them."),
        ("--learning_rate 1e-4", None, "Keys have no dashes: training.learning_rate=1e-4"),
        ("--learning_rate=1e-4", None, "Keys have no dashes: training.learning_rate=1e-4"),
        # what transformers 5 removed
        ("--warmup_ratio 0.1", None, "below 1, training.warmup_steps is a share of all steps"),
        ("training.sortish_sampler=true", "training.sortish_sampler", "Remove it."),
        # a plus or a tilde
        (
            "+model.architecture.d_model=8",
            "model.architecture.d_model",
            "Remove the plus: model.architecture.d_model=…",
        ),
        # a choice
        ("training={learning_rate: 1}", "training={learning_rate:", None),
        # a value
        ("data.language=xx", "data.language", "ISO 639-1"),
        ("objective=eval_rougel", "objective", "'eval_rougeL'"),
        ("training.metric_for_best_model=rouge_L", "training.metric_for_best_model", "rougeL"),
        ("metric=rouge objective=eval_novel_1grams", "objective", "lacks novelty"),
        ("metric.names=[rouge,novelti]", "metric.names", "'novelty'"),
        ("metric.bertscore_layer=3", "metric.bertscore_layer", "repetition,bertscore]"),
        ("data.chunk_overlap=9", "data.chunk_overlap", "data.long_documents=chunk"),
        (
            "training.metric_for_best_model=gen_len",
            "training.greater_is_better",
            "training.greater_is_better=false",
        ),
        (
            "training.metric_for_best_model=repeated_3grams",
            "training.greater_is_better",
            "training.greater_is_better=false",
        ),
        ("'training.max_steps=${data.name}'", "training.max_steps", None),
        ("'model.lang=${nowhere}'", "model.lang", None),
        # a sweep
        ("model=t5_small model=bart_base", "model", "one of them"),
        ("-m model=t5_tiny,t5_smal", "model", "'t5_small'"),
        ("-m 'model=glob(zz*)'", "model", None),
        ("-m 'seed=interval(1,4)'", "seed", "range"),
        # another name, or none
        ("training.batch_eval_metrics=true", "training.batch_eval_metrics", "Remove it."),
        ("training.length_column_name=n", "training.length_column_name", "engine.sampler=upstream"),
        ("generation.num_return_sequences=2", "generation.num_return_sequences", None),
        ("generation.output_scores=true", "generation.output_scores", None),
        # code
        (
            "hydra.job_logging.handlers.file.class=os.system",
            "hydra.job_logging.handlers.file.class",
            "conf/hydra",
        ),
        # files and machine
        ("data=custom_csv", "data.name", "data.train_file=FILE and data.validation_file=FILE"),
        ("data.train_file=x.csv", "data.train_file", "custom_csv"),
        ("model=t5_small model.name_or_path=./absent", "model.name_or_path", None),
        ("model=t5_small offline=true model.cache_dir=none", "model.name_or_path", "debug=tiny"),
        ("training.resume_from_checkpoint=absent", "training.resume_from_checkpoint", None),
        ("offline=true training.push_to_hub=true output_dir=mine", "training.push_to_hub", None),
        ("training.do_train=false training.do_eval=false", "training.do_train", None),
        # flags
        ("--hepl", None, "'--help'"),
        ("--resolve", None, "--cfg job --resolve"),
        ("--cfg hydra --resolve", None, "--cfg job --resolve"),
        ("--cfg job -m", None, "one of them"),
        ("--cfg jobb", None, None),
        ("--experimental-rerun x.pickle", None, "overrides.yaml"),
        ("--config-path conf", None, "--config-dir conf"),
        ("--config-name confg", None, "'config'"),
        ("--config-dir absent", None, None),
    ],
)
def test_one_mistake(line: str, key: str | None, hint: str | None) -> None:
    if key == "training={learning_rate:":
        line, key, hint = f"'{line}'", "training", "training.KEY=VALUE"
    (problem,) = problems(line)
    assert problem.key == key
    assert hint is None or hint in (problem.hint or "")


@pytest.mark.parametrize(
    "line",
    [
        "training.eval_strategy=no training.lr_scheduler_type=cosine "
        "'training.lr_scheduler_kwargs={num_cycles: 2}' training.learning_rate=1e-4 "
        "training.max_steps=-1 training.fp16=false model.architecture.d_model=32 "
        "++model.architecture.dropout_rate=0 +model.architecture.dense_act_fn=gelu",
        "'model.architecture={d_ff: 32}' 'model.freeze=[encoder]' "
        "generation.num_return_sequences=1 'generation.bad_words_ids=[[1,2],[3]]' "
        "training.remove_unused_columns=true engine.sampler=upstream "
        "training.length_column_name=n 'training.learning_rate=${metric.confidence}'",
        "model.source_prefix= debug=tiny data=custom_csv 'data.text_column=my column'",
        "debug=tiny data=custom_csv 'data.text_column=\"대화\"' model=bart_base",
        "objective=eval_lead1_rougeL training.metric_for_best_model=rougeL",
        "metric=rouge_text objective=eval_novel_1grams hydra.verbose=true hydra/launcher=basic",
        "metric=rouge_bertscore objective=predict_bertscore_f1 "
        "training.metric_for_best_model=eval_bertscore_f1_low",
        "training.metric_for_best_model=length_ratio training.greater_is_better=true",
    ],
)
def test_what_is_right_is_taken(line: str) -> None:
    assert len(jobs(line)) == 1


def test_a_sweep_is_every_combination() -> None:
    found = jobs("-m model=t5_tiny,bart_base seed=1,2 debug=tiny")
    assert [job.overrides for job in found] == [
        ["model=t5_tiny", "seed=1", "debug=tiny"],
        ["model=t5_tiny", "seed=2", "debug=tiny"],
        ["model=bart_base", "seed=1", "debug=tiny"],
        ["model=bart_base", "seed=2", "debug=tiny"],
    ]
    assert [job.config.seed for job in found] == [1, 2, 1, 2]
    assert len(jobs("-m 'model=glob(flan*)'")) == 2


def test_all_mistakes_are_reported_at_once_with_their_sources() -> None:
    model = own("model/mine", "model:\n  name_or_pth: x\ntraining:\n  max_steps: many\n")
    line = (
        "--config-dir own model=mine data=custom_cvs data.train_file=absent.csv modle=x "
        "training.learning_rate=fast training.seed=1 hardware.backend=cpu training.fp16=true"
    )
    assert [(problem.key, problem.where) for problem in problems(line)] == [
        ("data", WORD),
        ("modle", WORD),
        ("training.learning_rate", WORD),
        ("training.seed", WORD),
        ("model.name_or_pth", model),
        ("training.max_steps", model),
        ("data.train_file", WORD),
        ("training.fp16", WORD),
    ]


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        ("model:\n  name_or_pth: x\n", [("model.name_or_pth", "'model.name_or_path'")]),
        ("name_or_path: x\n", [("name_or_path", "'model.name_or_path'")]),
        ("model: 5\n", [("model", "Write its keys below model:")]),
        ("training:\n  eval_strategy: false\n", [("training.eval_strategy", "eval_strategy=no")]),
        ("training:\n  seed: 3\n", [("training.seed", "Set seed instead.")]),
        ("hydra:\n  run:\n    dir: x\n", [("hydra.run.dir", "Set output_dir instead.")]),
        ("model:\n  architecture:\n    _target_: os.system\n", [("model.architecture", "conf/")]),
        ("hydra:\n  launcher:\n    _target_: os.system\n", [("hydra.launcher._target_", "conf/")]),
        ("tracking:\n  project: " + TOKEN + "\n", [("tracking.project", "HF_TOKEN")]),
        ("training:\n  hub_token: secret\n", [("training.hub_token", "HF_TOKEN")]),
        ("hydra:\n  job:\n    name: " + TOKEN + "\n", [("hydra.job.name", "HF_TOKEN")]),
        ("model:\n  lang: ${oc.env:HF_TOKEN}\n", [("model.lang", "HF_TOKEN")]),
        ("model:\n  lang: ${data.nam}\n", [("model.lang", "")]),
        ("defaults:\n  - override /modle: t5_small\n", [(None, "'model'")]),
        ("defaults:\n  - override /data: xsumm\n", [("data", "'xsum'")]),
        ("defaults:\n  - /model: t5_small\n", [("model", "override /model")]),
        ("defaults:\n  model: t5_small\n", [(None, "")]),
        ("- a\n- list\n", [(None, "")]),
        ("generation:\n  num_return_sequences: 3\n", [("generation.num_return_sequences", "")]),
    ],
)
def test_mistakes_in_a_file(body: str, reported: list[tuple[str | None, str]]) -> None:
    path = own("experiment/mine", body)
    found = problems("--config-dir own experiment=mine")
    assert [problem.where for problem in found] == [path] * len(reported)
    assert [problem.key for problem in found] == [key for key, _ in reported]
    for problem, (_, hint) in zip(found, reported, strict=True):
        assert hint in (problem.hint or "")
        assert TOKEN not in str(problem)


def test_a_file_that_is_not_yaml_is_reported_with_the_line() -> None:
    path = own("experiment/mine", "model:\n  lang: [a\n  init: b\n")
    (problem,) = problems("--config-dir own experiment=mine")
    assert problem.where == f"{path}, line 4"
    Path(path).write_bytes("# modèle\nseed: 1\n".encode("latin-1"))
    (problem,) = problems("--config-dir own experiment=mine")
    assert (problem.what, problem.where) == ("a choice file is not UTF-8", path)


def test_a_file_without_its_header() -> None:
    path = own("model/mine", "model:\n  name_or_path: owner/name\n", header="")
    (problem,) = problems("--config-dir own model=mine")
    assert (problem.key, problem.where) == ("model.model", path)
    assert "'# @package _global_' the first line" in (problem.hint or "")


def test_names_in_ones_own_folder_that_would_never_be_read() -> None:
    own("model/t5_small", "model: {}\n")
    own("modle/mine", "model: {}\n")
    own("modle/yours", "model: {}\n")
    Path("own/data").mkdir()
    Path("own/data/mine.yml").touch()
    found = problems("--config-dir own")
    assert len(found) == 3
    assert {problem.where: problem.hint for problem in found} == {
        "own/data/mine.yml": "Rename it to mine.yaml.",
        "own/model/t5_small.yaml": "Rename it.",
        "own/modle": "Did you mean 'model'?",
    }


SECRETS = (TOKEN, "a-key-of-no-known-form")
"""One that is known by its form, and one that the environment holds."""


@pytest.fixture
def key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", SECRETS[1])


def assert_rejected(found: list[Problem], lines: list[str], secret: str) -> None:
    assert len(found) == len(lines)
    for problem, line in zip(found, lines, strict=True):
        assert "secret" in problem.what, line
        assert "environment" in (problem.hint or ""), line
        assert secret not in str(problem), line


@pytest.mark.usefixtures("key_in_the_environment")
@pytest.mark.parametrize("secret", SECRETS)
def test_secrets_in_overrides_are_rejected_and_not_repeated(secret: str) -> None:
    lines = [
        "HF_TOKEN={}",
        "training.hub_token={}",
        "+model.hub_token={}",
        "data.name={}",
        "model={}",
        "'model.architecture={{a: {}}}'",
        "tracking.tags=[{}]",
        "hydra.job.name={}",
        "{}",
        "~{}",
    ]
    assert_rejected(problems(" ".join(lines).format(*[secret] * len(lines))), lines, secret)


@pytest.mark.usefixtures("key_in_the_environment")
@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "line",
    [
        "-m tracking.project=a,{}",
        "--hub_token {}",
        "--hub_token={}",
        "--config-dir {}",
        "--{}",
        "--cfg job tracking.project={}",
    ],
)
def test_a_secret_is_rejected_and_not_repeated(line: str, secret: str) -> None:
    assert_rejected(problems(line.format(secret)), [line], secret)


def test_a_key_of_a_secret_is_rejected_whatever_its_value() -> None:
    for line in ("training.hub_token=x", "--hub_token x", "+wandb.api_key=x"):
        (problem,) = problems(line)
        assert "secret" in problem.what


@pytest.mark.parametrize(
    "line",
    [
        "data=custom_csv data.train_file=absent.csv data.validation_file=~nobody/absent.csv "
        "hardware=gpu training.fp16=true training.resume_from_checkpoint=absent",
        "data=custom_csv data.validation_files.dev=absent.csv hardware=ddp8_bf16 hardware.nodes=2 "
        "peft=lora training.resume_from_checkpoint=absent",
        "data.name=./absent hardware=tpu8 hydra/launcher=slurm output_dir=/proc/absent/out",
        "data.name=train.csv hardware=mps output_dir=taken",
        "hardware=deepspeed8_zero2 training.deepspeed=absent.json output_dir=file "
        "metric=rouge_bertscore metric.bertscore_model=./absent metric.bertscore_layer=3",
        "hardware=fsdp8_bf16 training.fsdp_config=absent.json "
        "model=t5_small model.name_or_path=./absent model.tokenizer_name=/absent",
        "model=t5_small offline=true model.cache_dir=absent metric=all data.language=ko",
        "experiment=hf_parity",
    ],
)
def test_the_config_is_shown_whatever_the_machine_lacks(line: str) -> None:
    Path("taken").mkdir()
    Path("taken", "model.safetensors").touch()
    Path("file").touch()
    Path("train.csv").touch()
    (job,) = jobs(f"--cfg job {line}")
    assert shown_config(job.tree, None, resolve=True)


def test_a_mistake_of_the_config_itself_is_not_shown() -> None:
    for line, key in [
        ("model=t5_smal", "model"),
        ("training.max_steps=0", "training.max_steps"),
        ("data.train_file=absent.csv data.validation_split=dev data=custom_csv", None),
    ]:
        found = problems(f"--cfg job {line}")
        assert key is None or [problem.key for problem in found] == [key]


@pytest.mark.skipif(not MTS.is_dir(), reason="needs ../shared/data/mts_dialog")
def test_columns_of_real_files() -> None:
    files = (
        f"data=custom_csv data.train_file={MTS}/train.csv data.validation_file={MTS}/validation.csv"
    )
    (job,) = jobs(f"{files} data.text_column=dialogue data.summary_column=section_text")
    assert job.config.data.text_column == "dialogue"
    found = problems(f"{files} data.text_column=dialog data.summary_column=section_txt")
    assert {problem.key for problem in found} == {"data.text_column", "data.summary_column"}
    assert all("Did you mean" in (problem.hint or "") for problem in found)


def test_a_locked_folder_rejects_another_run() -> None:
    (found,) = jobs("output_dir=here")
    locked = lock_folder(found, in_sweep=False)
    assert locked.lock is not None
    assert locked.lock.is_locked
    assert locked.plan is not None
    assert locked.plan.train
    locked.lock.release()
    (fresh,) = jobs("")
    assert lock_folder(fresh, in_sweep=False) is fresh
