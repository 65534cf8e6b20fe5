"""Whole texts: several commands, and what is rejected."""

from __future__ import annotations

import shlex

import pytest
from tests.migrate.composed import SCRIPT, migrated, translated

from summexp.errors import ConfigError
from summexp.migrate.command import migrate


def test_ways_of_writing_are_one() -> None:
    plain = translated(f"python {SCRIPT}")
    for command in [
        f"python {SCRIPT.replace('_name_or_path', '-name-or-path').replace('_dir ', '-dir=')}",
        f"python {SCRIPT.replace('--dataset_name', '--dataset_n')}",
        f"python {SCRIPT.replace('--do_train', '--do_train True')}",
        f"python {SCRIPT.replace('--output_dir out', '--output_dir other --output_dir out')}",
        f"nohup python {SCRIPT} > log.txt 2>&1 &",
        f"#!/bin/bash\nset -e\ncd examples\npython {SCRIPT} | tee log # train",
        f"export OMP=1\npython {SCRIPT}",
        f"OUT=out\npython {SCRIPT.replace('_dir out', '_dir $OUT')}",
        f'ARGS="--do_train"\nARGS+=" --do_eval"\npython {SCRIPT} $ARGS',
    ]:
        assert sorted(translated(command).words()) == sorted(plain.words()), command
    (from_words,) = migrate(["python", *shlex.split(SCRIPT)])
    assert from_words.words == plain.words()


def test_each_command_of_a_script_has_its_line() -> None:
    script = (
        "#!/bin/bash\n#SBATCH --nodes=1\nset -euo pipefail\nMODEL=facebook/bart-base\n"
        f"python {SCRIPT} \\\n  --model_name_or_path $MODEL\n\nwait\n"
        f"srun torchrun --nproc_per_node 8 {SCRIPT} --fp16 > log\nls"
    )
    first, second = migrate(script)
    assert first.words[0] == "model=bart_base"
    assert second.words[:3] == ["model=t5_small", "data=cnn_dailymail", "hardware=ddp8_fp16"]
    assert first.remarks[0] == "skipping the other commands: ls"
    assert "line 9: <, > or |: left out; the log is train.log in the run folder" in second.remarks
    with pytest.raises(ConfigError) as raised:
        migrate(f"python {SCRIPT} --seed x\npython {SCRIPT}\npython {SCRIPT} --run_name $(date)")
    assert "--seed: invalid value: 'x'; use an integer [line 1]" in str(raised.value)
    assert "command substitution is not supported: $(date) [line 3]" in str(raised.value)


def test_unsupported_constructs_elsewhere_do_not_matter() -> None:
    plain = migrated(f"python {SCRIPT}")
    found = migrated(
        'set -e\ncd $(dirname "$0")\nDATE=`date +%F`\necho "$USER on $HOSTNAME: ${DATE:0:4}"\n'
        f'cat > ds.json <<EOF\n{{"it\'s": $DATE}}\nEOF\npython $HERE/{SCRIPT} > log-$DATE "$@"'
    )
    assert found.line == plain.line
    assert "skipping the other commands: cd, cat" in found.remarks
    remark = '"$@": append the arguments of the shell script to the new command'
    assert remark in found.remarks


def test_a_checkpoint_need_not_be_there() -> None:
    found = migrated(f"python {SCRIPT} --resume_from_checkpoint later")
    assert "training.resume_from_checkpoint=later" in found.words
    assert "--resume_from_checkpoint: there is no folder later yet" in found.remarks


@pytest.mark.parametrize(
    ("command", "reported"),
    [
        ("python run_glue.py --do_train", "no command of the summarization scripts found"),
        ("python run_sumarization.py", "Did you mean 'run_summarization.py'"),
        ("python run_summarization_flax.py", "Flax script has no counterpart"),
        ("python train.py model=t5_small", "new one already"),
        ("", "no command of the summarization scripts found"),
        (f"python {SCRIPT} --lerning_rate 1", "Did you mean '--learning_rate'"),
        (f"python {SCRIPT} --with_tracking", "It is a flag of run_summarization_no_trainer.py"),
        (f"python {SCRIPT} --eval no", "ambiguous option: --eval could match --eval_strategy"),
        (f"python {SCRIPT} --learning_rate fast", "learning_rate: invalid value: 'fast'; use"),
        (f"python {SCRIPT} --max_steps 1.5", "invalid value: '1.5'; use an integer"),
        (f"python {SCRIPT} --fp16 maybe", "invalid value: 'maybe'; use true or false"),
        (f"python {SCRIPT} --seed", "expected one argument"),
        (f"python {SCRIPT} --lr_scheduler_kwargs '{{a: 1}}'", "invalid JSON"),
        (f"python {SCRIPT} --lr_scheduler_type cosin", "Did you mean 'cosine'"),
        (f"python {SCRIPT} extra words", "unrecognized argument: extra"),
        (f"python {SCRIPT} --generation_config g", "each of its options is a key"),
        ("python run_summarization.py --do_train --dataset_name xsum", "missing --model"),
        ("python run_summarization.py --do_train --model_name_or_path m", "names no data"),
        ("python run_summarization_no_trainer.py --dataset_name xsum", "names no model"),
        ("python run_summarization.py --model_name_or_path m --dataset_name d", "neither trains"),
        ("python run_summarization.py absent.json", "no such file: absent.json"),
        (f"torchrun --nproc_per_node x {SCRIPT}", "invalid value for --nproc_per_node: 'x'"),
        (f"accelerate launch --num_processes x {SCRIPT}", "invalid value for --num_processes: 'x'"),
        (f"deepspeed --num_gpus x {SCRIPT}", "invalid value for --num_gpus: 'x'"),
        (
            f"accelerate launch --mixed_precision fp8 {SCRIPT}",
            "invalid value for --mixed_precision: 'fp8'",
        ),
        (f"python {SCRIPT} --source_prefix 'a\nb'", "line break"),
        (f"python {SCRIPT} --output_dir $ABSENT", "variable is not set: $ABSENT"),
        (f"SORT_KEY=a\npython {SCRIPT} --output_dir o/$SORT_KEY", "write the value of one that"),
        (
            f'if [ -n "$GPU" ]; then\n EXTRA=--fp16\nfi\npython {SCRIPT} $EXTRA',
            "variable is set in an if statement: $EXTRA [line 2]",
        ),
        (
            f'ARGS=(\n --fp16\n)\npython {SCRIPT} "${{ARGS[@]}}"',
            'array is not supported: "${ARGS[@]}" [line 4]\n    Write its items out',
        ),
        (f"run() {{ python {SCRIPT} --seed $1; }}\nrun 3", "a function is not supported around"),
        (f"torchrun --nnodes $NODES --nproc_per_node 8 {SCRIPT}", "variable is not set: $NODES"),
        (f"WANDB_PROJECT=$ABSENT python {SCRIPT}", "variable is not set: $ABSENT"),
        (f"A='python {SCRIPT}", "bash syntax error"),
    ],
    ids=lambda one: one.replace(SCRIPT, "S"),
)
def test_what_is_wrong_is_reported(
    command: str, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(ConfigError) as raised:
        migrated(command)
    assert reported in str(raised.value)
