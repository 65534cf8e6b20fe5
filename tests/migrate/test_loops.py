"""`for` loops: one sweep, or an error that names what keeps the turns from being one."""

from __future__ import annotations

import shlex
import shutil
import subprocess

import pytest
from tests.migrate.composed import jobs_of, migrated

from summexp.config.escaping import override
from summexp.errors import ConfigError

BASE = (
    "python run_summarization.py --model_name_or_path facebook/bart-base --dataset_name xsum "
    "--do_train --predict_with_generate"
)


def test_a_loop_over_a_value_is_a_sweep() -> None:
    found = migrated(
        f"for lr in 1e-5 3e-5; do\n  {BASE} --learning_rate $lr --output_dir out\ndone"
    )
    assert found.line == (
        "python train.py -m training.learning_rate=1e-5,3e-5 model=bart_base data=xsum "
        "output_dir=out training.do_eval=false data.max_target_length=128"
    )
    assert "for: a sweep of 2 jobs over training.learning_rate" in found.remarks
    assert [job.training.learning_rate for job in jobs_of(found.line)] == [1e-5, 3e-5]


def test_values_keep_their_commas_quotes_and_blanks() -> None:
    values = ["a, b: it's", 'say "c"\\', "null", "${e} {f=g} 요약: "]
    loop = f'for p in {shlex.join(values)}; do {BASE} --source_prefix "$p"; done'
    jobs = jobs_of(migrated(loop).line)
    assert [job.model.source_prefix for job in jobs] == values


@pytest.mark.skipif(shutil.which("bash") is None, reason="bash is not installed")
def test_bash_passes_the_words_of_the_line_on() -> None:
    values = ["a, b: ", "it's", 'say "c"\\', "$HOME `d` !e *"]
    loop = f'for p in {shlex.join(values)}; do {BASE} --source_prefix "$p"; done'
    found = migrated(loop)
    script = f"python() {{ printf '%s\\0' \"$@\"; }}\n{found.line}"
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, check=True)
    assert done.stdout.decode().split("\0")[1:-1] == found.words


def test_models_and_their_prefixes_are_a_sweep_of_choices() -> None:
    found = migrated(
        "for m in t5-small facebook/bart-base; do for s in 1 2; do\n"
        f"  {BASE} --model_name_or_path $m --seed $s --output_dir runs/x/$m-$s --run_name $m-$s\n"
        "done; done"
    )
    assert found.words[:3] == ["-m", "model=t5_small,bart_base", "seed=1,2"]
    # The file of T5 has a prefix, which the old script did not add.
    jobs = jobs_of(found.line)
    named = [(job.model.name_or_path, job.seed, job.model.source_prefix) for job in jobs]
    assert named == [
        (name, seed, None)
        for name in ("google-t5/t5-small", "facebook/bart-base")
        for seed in (1, 2)
    ]
    assert "output_dir=runs/x" in found.words
    assert not any(word.startswith("tracking.run_name") for word in found.words)
    assert "--run_name: differs from turn to turn, left out" in found.remarks


@pytest.mark.parametrize(
    ("folder", "word"),
    [
        ("out/$s/x", "out"),
        ("out_$s", None),
        ("./$s", None),
        ("/$s", None),
        ("/a/b-$s", "/a"),
        ('"it\'s, a/$s"', "it's, a"),
    ],
)
def test_the_folder_of_a_sweep_is_that_of_all_turns(folder: str, word: str | None) -> None:
    found = migrated(f"for s in 1 2; do {BASE} --seed $s --output_dir {folder}; done")
    folders = [one for one in found.words if one.startswith("output_dir=")]
    assert folders == ([override("output_dir", word)] if word else [])
    where = word or "multirun/<date>/<time>"
    assert f"--output_dir: {where} is the sweep's folder, with one for each job in it" in (
        found.remarks
    )


def test_a_loop_of_one_turn_or_without_a_use_is_a_plain_command() -> None:
    assert (
        migrated(f"for s in 7; do {BASE} --seed $s; done").line == migrated(f"{BASE} --seed 7").line
    )
    found = migrated(f"for s in 1 2; do {BASE}; done")
    assert found.line == migrated(BASE).line
    assert "for: its variable changes nothing here; one turn is written" in found.remarks


@pytest.mark.parametrize(
    ("loop", "reported"),
    [
        (
            f"for f in a b; do\n {BASE} --text_column $f --summary_column $f-s\ndone",
            "data.text_column and data.summary_column change together, and a sweep tries each "
            "value with each [line 2]\n    Write the commands of its turns out",
        ),
        (
            f"for s in 1 2; do {BASE} --output_dir out/$s; done",
            "its turns differ in output_dir only",
        ),
        (
            f"for g in 0 1; do CUDA_VISIBLE_DEVICES=$g {BASE} --seed $g; done",
            "its turns differ in CUDA_VISIBLE_DEVICES, which a sweep cannot",
        ),
        (
            f"for n in 1 2; do torchrun --nproc_per_node $n {BASE[7:]}; done",
            "only some of its turns need hardware=…",
        ),
        (f"for s in $(seq 3); do {BASE} --seed $s; done", "substitution is not supported: $(seq"),
        (f"for s in {{1..3}}; do {BASE} --seed $s; done", "expansion is not supported: {1..3}"),
        (f"for s in 1 x; do {BASE} --seed $s; done", "invalid value: 'x'; use an integer"),
        (f"for s in a b; do {BASE} --lr_scheduler_type $s; done", "lr_scheduler_type"),
    ],
)
def test_a_loop_that_is_no_sweep_is_rejected(loop: str, reported: str) -> None:
    with pytest.raises(ConfigError) as raised:
        migrated(loop)
    assert reported in str(raised.value)
