"""Whole commands: launchers, environments, and what is refused."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from tests.migrate.composed import composed, value_at

from summexp.errors import ConfigError
from summexp.migrate.command import migrate

FLAGS = (
    "--model_name_or_path t5-small --dataset_name cnn_dailymail --do_train --do_eval "
    "--predict_with_generate --output_dir out --source_prefix 'summarize: '"
)
SCRIPT = f"examples/pytorch/summarization/run_summarization.py {FLAGS}"
LOOP = "run_summarization_no_trainer.py --model_name_or_path t5-small --dataset_name xsum"
CORE = {
    "model.name_or_path": "google-t5/t5-small",
    "data.name": "abisee/cnn_dailymail",
    "output_dir": "out",
}
GPU = {"hardware.backend": "cuda"}
EIGHT = {**GPU, "hardware.processes": 8}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def said(line: str, keys: Any) -> dict[str, Any]:
    config = composed(line)
    return {key: value_at(config, key) for key in keys}


@pytest.mark.parametrize(
    ("command", "chosen", "says"),
    [
        (f"python {SCRIPT}", "", {"hardware.backend": "auto", "hardware.processes": None}),
        (f"python3.11 -u {SCRIPT}", "", {"hardware.backend": "auto"}),
        (f"{SCRIPT}", "", {"hardware.backend": "auto"}),
        (f"python -m transformers.examples.run_summarization {FLAGS}", "", {}),
        (f"python {SCRIPT} --bf16", "", {"training.bf16": True, "hardware.backend": "auto"}),
        (f"torchrun --nproc_per_node 8 {SCRIPT} --fp16", "ddp8_fp16", EIGHT),
        (f"torchrun --nproc-per-node=8 {SCRIPT} --bf16", "ddp8_bf16", EIGHT),
        (f"torchrun --nproc 8 {SCRIPT}", "gpu", {**EIGHT, "training.fp16": False}),
        (
            f"torchrun --standalone --nproc_per_node 4 --master_port 29501 {SCRIPT} --bf16",
            "ddp8_bf16",
            {**GPU, "hardware.processes": 4, "training.bf16": True},
        ),
        (f"torchrun --nproc_per_node 1 {SCRIPT}", "", {"hardware.processes": None}),
        (f"torchrun --nproc_per_node gpu {SCRIPT} --fp16", "ddp8_fp16", EIGHT),
        (
            f"python -m torch.distributed.launch --nproc_per_node 2 --use_env {SCRIPT} --no_cuda",
            "ddp2_cpu",
            {"hardware.backend": "cpu", "hardware.processes": 2},
        ),
        (f"python -m torch.distributed.run --nproc_per_node 8 {SCRIPT}", "gpu", EIGHT),
        (
            f"torchrun --nproc_per_node 8 {SCRIPT} --bf16 --fsdp",
            "fsdp8_bf16",
            {**EIGHT, "training.fsdp": True},
        ),
        (f"python xla_spawn.py --num_cores 8 {SCRIPT}", "tpu8", {"hardware.backend": "xla"}),
        (f"python xla_spawn.py --num_cores=1 {SCRIPT}", "tpu8", {"hardware.backend": "xla"}),
        (
            f"accelerate launch {SCRIPT}",
            "",
            {"hardware.backend": "auto", "engine.name": "trainer"},
        ),
        (
            f"accelerate launch --multi_gpu --num_processes 8 --mixed_precision fp16 {SCRIPT}",
            "ddp8_fp16",
            {**EIGHT, "training.fp16": True},
        ),
        (
            f"accelerate launch --multi_gpu --mixed_precision=bf16 {SCRIPT}",
            "ddp8_bf16",
            EIGHT,
        ),
        (f"accelerate launch --cpu {SCRIPT}", "cpu", {"hardware.backend": "cpu"}),
        (
            f"accelerate launch --cpu --num_processes 3 {SCRIPT}",
            "ddp2_cpu",
            {"hardware.backend": "cpu", "hardware.processes": 3},
        ),
        (f"accelerate launch --tpu {SCRIPT}", "tpu8", {"hardware.backend": "xla"}),
        (
            f"accelerate launch --use_fsdp --num_processes 8 --mixed_precision bf16 {SCRIPT}",
            "fsdp8_bf16",
            {**EIGHT, "training.fsdp": True, "training.bf16": True},
        ),
        (
            f"accelerate launch --use_deepspeed --zero_stage 3 --num_processes 2 {SCRIPT} --fp16",
            "deepspeed8_zero3",
            {
                **GPU,
                "hardware.processes": 2,
                "training.bf16": False,
                "training.fp16": True,
                "training.deepspeed.zero_optimization.stage": 3,
            },
        ),
        (
            f"accelerate launch --use_deepspeed --mixed_precision bf16 {SCRIPT}",
            "deepspeed8_zero2",
            {**EIGHT, "training.deepspeed.zero_optimization.stage": 2, "training.bf16": True},
        ),
        (
            "accelerate launch --use_deepspeed --deepspeed_config_file ds.json --num_processes 2 "
            f"{SCRIPT}",
            "gpu",
            {"training.deepspeed": "ds.json", "hardware.processes": 2},
        ),
        (
            f"deepspeed --num_gpus=8 {SCRIPT} --deepspeed ds.json --bf16",
            "ddp8_bf16",
            {**EIGHT, "training.deepspeed": "ds.json"},
        ),
        (f"python {SCRIPT} --tpu_num_cores 8", "tpu8", {"hardware.backend": "xla"}),
    ],
    ids=lambda one: one.replace(SCRIPT, "S") if isinstance(one, str) else None,
)
def test_launcher_says(command: str, chosen: str, says: dict[str, Any]) -> None:
    line = migrate(command).line
    named = [word.removeprefix("hardware=") for word in line.split() if word[:9] == "hardware="]
    assert named == ([chosen] if chosen else [])
    expected = {**CORE, **says}
    assert said(line, expected) == expected


def test_ways_of_writing_are_one() -> None:
    plain = migrate(f"python {SCRIPT}")
    for command in [
        f"python {SCRIPT.replace('_name_or_path', '-name-or-path').replace('_dir ', '-dir=')}",
        f"python {SCRIPT.replace('--dataset_name', '--dataset_n')}",
        f"python {SCRIPT.replace('--do_train', '--do_train True')}",
        f"python {SCRIPT.replace('--output_dir out', '--output_dir other --output_dir out')}",
        f"nohup python {SCRIPT} > log.txt 2>&1 &",
        f"#!/bin/bash\nset -e\ncd examples\npython {SCRIPT} | tee log # train",
        f"export OMP=1\npython {SCRIPT}",
        f"OUT=out\npython {SCRIPT.replace('_dir out', '_dir $OUT')}",
    ]:
        assert sorted(migrate(command).words) == sorted(plain.words), command
    assert migrate(["python", *shlex.split(SCRIPT)]).line == plain.line


def test_several_machines_meet_where_they_did() -> None:
    command = (
        "torchrun --nnodes 2 --nproc_per_node 4 --node_rank 1 --master_addr node0 "
        f"--master_port 29500 {SCRIPT} --bf16"
    )
    line = migrate(command).line
    assert line.startswith("NODE_RANK=1 MASTER_ADDR=node0 MASTER_PORT=29500 python train.py ")
    says = {"hardware.nodes": 2, "hardware.processes": 4}
    assert said(line, says) == says
    found = migrate(
        "accelerate launch --num_machines 2 --num_processes 16 --main_process_ip n "
        f"--machine_rank 0 {SCRIPT}"
    )
    assert found.environment == {"NODE_RANK": "0", "MASTER_ADDR": "n"}
    assert any("MASTER_PORT set there" in remark for remark in found.remarks)
    says = {"hardware.nodes": 2, "hardware.processes": 8}
    assert said(found.line, says) == says
    found = migrate(f"torchrun --nnodes=2 --rdzv_endpoint=h:29400 --rdzv_backend c10d {SCRIPT}")
    assert found.environment == {"MASTER_ADDR": "h", "MASTER_PORT": "29400"}


def test_variables_in_front() -> None:
    command = (
        "CUDA_VISIBLE_DEVICES=0,1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 "
        f"WANDB_PROJECT='my project' WANDB_NAME=first WANDB_TAGS=a,b python {SCRIPT} "
        "--report_to wandb"
    )
    found = migrate(command)
    assert found.line.startswith("CUDA_VISIBLE_DEVICES=0,1 TOKENIZERS_PARALLELISM=false python")
    says = {
        "offline": True,
        "tracking.project": "my project",
        "tracking.run_name": "first",
        "tracking.tags": ["a", "b"],
        "tracking.trackers": ["wandb"],
    }
    assert said(found.line, says) == says
    assert "tracking=wandb" in found.words
    line = migrate(f"WANDB_DISABLED=true python {SCRIPT} --report_to wandb tensorboard").line
    assert said(line, ["tracking.trackers"]) == {"tracking.trackers": ["tensorboard"]}
    line = migrate(f"env HF_DATASETS_OFFLINE=0 CUDA_VISIBLE_DEVICES=3 python {SCRIPT}").line
    assert line.startswith("CUDA_VISIBLE_DEVICES=3 python")
    assert said(line, ["offline"]) == {"offline": False}


@pytest.mark.parametrize(
    ("before", "kept"),
    [
        ("CUDA_VISIBLE_DEVICES=1\nexport CUDA_VISIBLE_DEVICES", {"CUDA_VISIBLE_DEVICES": "1"}),
        ("A=1; export A B=2", {"A": "1", "B": "2"}),
        ("export A=1\nA=2", {"A": "2"}),
        ("A=1\nexport B", {}),
        ("export PATH", {}),
    ],
)
def test_variables_are_exported_before_it(before: str, kept: dict[str, str]) -> None:
    found = migrate(f"{before}\npython {SCRIPT}")
    assert found.environment == kept
    assert not any("other commands" in remark for remark in found.remarks)


@pytest.mark.parametrize(
    "command", ['export NOTE="a\nb"\npython {}', "NOTE=$'a\\nb' python {}", "NOTE='a\nb' python {}"]
)
def test_a_variable_of_several_lines_is_left_out(command: str) -> None:
    found = migrate(command.format(SCRIPT))
    assert found.line == migrate(f"python {SCRIPT}").line
    remark = "NOTE: holds a line break, left out; export it before the new command"
    assert remark in found.remarks


def test_a_word_of_the_shell_is_no_wrapper() -> None:
    plain = migrate(f"FOO=1 python {SCRIPT}")
    for command in [
        f"time FOO=1 python {SCRIPT}",
        f"if true; then FOO=1 python {SCRIPT}; fi",
        f"if ! FOO=1 python {SCRIPT}; then echo failed; fi",
        f"if false; then\n  ls\nelse # or\n  time -p FOO=1 python {SCRIPT}\nfi",
        f"{{ FOO=1 python {SCRIPT}; }} > log",
    ]:
        found = migrate(command)
        assert found.line == plain.line, command
        others = [remark for remark in found.remarks if remark not in plain.remarks]
        assert all("other commands" in remark for remark in others), others
    assert any(remark.startswith("nice: ") for remark in migrate(f"nice python {SCRIPT}").remarks)


def test_a_loop_is_not_unrolled() -> None:
    plain = migrate(f"python {SCRIPT}")
    for head in ("for m in a b", "for ((i=0; i<3; i++))", "while true", "until false"):
        found = migrate(f"{head}; do\n python {SCRIPT}\ndone")
        assert found.line == plain.line
        assert "a loop: not unrolled; the new command is one turn of it" in found.remarks
    found = migrate(f"for m in a b; do mv $m c; done\npython {SCRIPT} --run_name x")
    assert not any("loop" in remark for remark in found.remarks)
    assert "other commands of the text are left out: mv" in found.remarks
    found = migrate(f"for p in a b; do $p; done; python {SCRIPT}")
    assert "other commands of the text are left out: $p" in found.remarks
    again = migrate(f"for m in a b; do ls; done; m=c; python {SCRIPT} --run_name $m")
    assert "tracking.run_name=c" in again.words


def test_what_a_shell_works_out_elsewhere_is_no_matter() -> None:
    plain = migrate(f"python {SCRIPT}")
    found = migrate(
        'set -e\ncd $(dirname "$0")\nDATE=`date +%F`\necho "$USER on $HOSTNAME: ${DATE:0:4}"\n'
        f'cat > ds.json <<EOF\n{{"it\'s": $DATE}}\nEOF\npython $HERE/{SCRIPT} > log-$DATE'
    )
    assert found.line == plain.line
    assert "other commands of the text are left out: cd, cat" in found.remarks


def test_a_shell_fills_in_where_machines_meet() -> None:
    command = (
        "export MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)\n"
        "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK PATH=/opt/bin:$PATH\n"
        "srun torchrun --nnodes 2 --nproc_per_node 8 --node_rank $SLURM_NODEID "
        f"--rdzv_id $SLURM_JOB_ID --rdzv_endpoint $MASTER_ADDR:$MASTER_PORT {SCRIPT}"
    )
    found = migrate(command)
    assert found.line.startswith(
        "MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1) "
        "OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK NODE_RANK=$SLURM_NODEID MASTER_PORT=$MASTER_PORT "
        "python train.py "
    )
    assert any(remark.startswith("PATH: left out") for remark in found.remarks)
    line = migrate(f"for i in 0 1; do CUDA_VISIBLE_DEVICES=a$i python {SCRIPT}; done").line
    assert line.startswith("CUDA_VISIBLE_DEVICES=a$i python train.py ")
    accelerate = "accelerate launch --num_machines 2 --num_processes 16 --machine_rank $RANK"
    found = migrate(f"{accelerate} --main_process_ip $HEAD {SCRIPT}")
    assert found.environment.keys() == {"NODE_RANK", "MASTER_ADDR"}


def test_flags_in_variables_and_arrays() -> None:
    plain = migrate(f"torchrun --nproc_per_node 8 {SCRIPT} --fp16 --output_dir 'o p'")
    for command in [
        f'ARGS="{FLAGS}"\nARGS+=" --fp16"\nGPUS=8\n'
        "eval torchrun --nproc_per_node $GPUS run_summarization.py $ARGS \"--output_dir 'o p'\"",
        f"ARGS=(\n  {FLAGS}\n  # it's half of it\n  --fp16 --output_dir 'o p'\n)\n"
        "RUN=(torchrun --nproc_per_node 8)\n"
        '"${RUN[@]}" run_summarization.py "${ARGS[@]}" "$@"',
        f"function run {{\n  torchrun --nproc_per_node=8 {SCRIPT} --fp16 --output_dir 'o p'\n}}",
    ]:
        assert sorted(migrate(command).words) == sorted(plain.words), command


def test_a_branch_is_read_as_taken() -> None:
    found = migrate(f'if [ -n "$GPU" ]; then\n EXTRA=--fp16\nfi\npython {SCRIPT} $EXTRA')
    assert "training.fp16=true" in found.words
    remark = "if: a branch sets $EXTRA, and was read as taken; the last one of several"
    assert remark in found.remarks


@pytest.mark.parametrize(
    "around",
    [
        "bash -c '{}'",
        "bash -c 'cd x && {}'",
        "sbatch -p gpu --wrap='{}'",
        "ssh host 'cd x; {}'",
        "sbatch <<EOF\n#!/bin/bash\n#SBATCH --nodes=1\n{}\nEOF",
        "cat > job.sh <<'EOF'\n{}\nEOF\nsbatch job.sh",
        "srun bash -c '$LAUNCH '\"{}\"",
    ],
)
def test_a_command_in_a_command_is_found(around: str) -> None:
    command = "torchrun --nproc_per_node 8 run_summarization.py " + FLAGS.replace("'", '"')
    found = migrate(around.format(command.replace('"', '\\"') if "$LAUNCH" in around else command))
    assert found.line == migrate(command).line


def test_the_accelerate_config_file_is_read_where_it_is() -> None:
    Path("acc.yaml").write_text(
        "distributed_type: MULTI_GPU\nmixed_precision: bf16\nnum_machines: 1\nnum_processes: 4\n",
        encoding="utf-8",
    )
    line = migrate(f"accelerate launch --config_file acc.yaml {LOOP}").line
    says = {"hardware.processes": 4, "training.bf16": True, "engine.name": "accelerate"}
    assert said(line, says) == says
    assert "hardware=ddp8_bf16" in line
    found = migrate(f"accelerate launch --config_file absent.yaml {LOOP}")
    assert any("absent.yaml: there is no such file" in remark for remark in found.remarks)


def test_a_json_file_of_arguments() -> None:
    arguments = {
        "model_name_or_path": "google-t5/t5-base",
        "dataset_name": "samsum",
        "do_train": True,
        "num_train_epochs": 2,
        "report_to": ["tensorboard"],
        "lr_scheduler_kwargs": {"num_cycles": 3},
        "output_dir": "o p",
        "max_eval_samples": None,
    }
    Path("args.json").write_text(json.dumps(arguments), encoding="utf-8")
    line = migrate("torchrun --nproc_per_node 8 run_summarization.py args.json").line
    says = {
        "model.name_or_path": "google-t5/t5-base",
        "model.source_prefix": None,
        "data.name": "knkarthick/samsum",
        "training.num_train_epochs": 2.0,
        "training.do_train": True,
        "training.do_eval": False,
        "tracking.trackers": ["tensorboard"],
        "training.lr_scheduler_kwargs": {"num_cycles": 3},
        "output_dir": "o p",
        "hardware.processes": 8,
    }
    assert said(line, says) == says
    Path("args.json").write_text('{"model_name_or_path": "m", "lerning_rate": 1}')
    with pytest.raises(ConfigError, match="--lerning_rate"):
        migrate("python run_summarization.py args.json")


@pytest.mark.parametrize(
    ("command", "reported"),
    [
        ("python run_glue.py --do_train", "no command of the old"),
        ("python run_sumarization.py", "Did you mean 'run_summarization.py'"),
        ("python run_summarization_flax.py", "Flax script has no equal"),
        ("python train.py model=t5_small", "new one already"),
        ("", "no command of the old"),
        (f"python {SCRIPT} --lerning_rate 1", "Did you mean '--learning_rate'"),
        (f"python {SCRIPT} --with_tracking", "It is a flag of run_summarization_no_trainer.py"),
        (f"python {SCRIPT} --eval no", "ambiguous option: --eval could match --eval_strategy"),
        (f"python {SCRIPT} --learning_rate fast", "learning_rate: takes a number, not 'fast'"),
        (f"python {SCRIPT} --max_steps 1.5", "takes a whole number"),
        (f"python {SCRIPT} --fp16 maybe", "takes true or false"),
        (f"python {SCRIPT} --seed", "expected one argument"),
        (f"python {SCRIPT} --lr_scheduler_kwargs '{{a: 1}}'", "not JSON"),
        (f"python {SCRIPT} --lr_scheduler_type cosin", "Did you mean 'cosine'"),
        (f"python {SCRIPT} extra words", "'extra' belongs to no flag"),
        (f"python {SCRIPT} --generation_config g", "keys of their own"),
        ("python run_summarization.py --do_train --dataset_name xsum", "model_name_or_path is mis"),
        ("python run_summarization.py --do_train --model_name_or_path m", "names no data"),
        ("python run_summarization_no_trainer.py --dataset_name xsum", "names no model"),
        ("python run_summarization.py --model_name_or_path m --dataset_name d", "nothing"),
        ("python run_summarization.py absent.json", "there is no file absent.json"),
        (f"python {SCRIPT}\npython {SCRIPT}", "2 commands"),
        (f"torchrun --nproc_per_node x {SCRIPT}", "--nproc_per_node takes no 'x'"),
        (f"accelerate launch --num_processes x {SCRIPT}", "--num_processes takes no 'x'"),
        (f"deepspeed --num_gpus x {SCRIPT}", "--num_gpus takes no 'x'"),
        (f"accelerate launch --mixed_precision fp8 {SCRIPT}", "takes no 'fp8'"),
        (f"python {SCRIPT} --source_prefix 'a\nb'", "line break"),
        (f"python {SCRIPT} --output_dir $ABSENT", "ABSENT is not set"),
        (f"SORT_KEY=a\npython {SCRIPT} --output_dir o/$SORT_KEY", "write the value of one that"),
        (f"for m in a b; do python {SCRIPT} --run_name $m; done", "$m differs from turn to turn"),
        (
            f"for m in a b\ndo\n OUT=o/${{m}}\n python {SCRIPT} --output_dir $OUT\ndone",
            "loops are not unrolled [line 4]",
        ),
        (f"python {SCRIPT} --run_name $(date +%F)", "works out $(date +%F) when it runs"),
        (f"run() {{ python {SCRIPT} --seed $1; }}\nrun 3", "$1 is what the shell script is given"),
        (f"torchrun --nnodes $NODES --nproc_per_node 8 {SCRIPT}", "$NODES is not set here"),
        (f"WANDB_PROJECT=$ABSENT python {SCRIPT}", "$ABSENT is not set here"),
        (f"A='python {SCRIPT}", "not closed"),
    ],
    ids=lambda one: one.replace(SCRIPT, "S"),
)
def test_what_is_wrong_is_reported(
    command: str, reported: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ABSENT", raising=False)
    with pytest.raises(ConfigError) as raised:
        migrate(command)
    assert reported in str(raised.value)


def test_a_checkpoint_is_not_deleted_with_its_folder() -> None:
    Path("out/checkpoint-5").mkdir(parents=True)
    words = "--overwrite_output_dir --resume_from_checkpoint out/checkpoint-5"
    found = migrate(f"python {SCRIPT} {words}")
    assert "training.resume_from_checkpoint=out/checkpoint-5" in found.words
    assert not any(word.startswith("overwrite_output_dir") for word in found.words)
    assert any("would delete the checkpoint" in remark for remark in found.remarks)


def test_a_checkpoint_need_not_be_there() -> None:
    found = migrate(f"python {SCRIPT} --resume_from_checkpoint later")
    assert "training.resume_from_checkpoint=later" in found.words
    assert "--resume_from_checkpoint: there is no folder later yet" in found.remarks


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ("--dataset_name xsum", {"data.max_target_length": 128}),
        ("--dataset_name xsum --max_target_length 64", {"data.max_target_length": 64}),
        ("--dataset_name big_patent", {"data.config_name": "all"}),
        ("--dataset_name big_patent --dataset_config_name a", {"data.config_name": "a"}),
        ("--dataset_name Samsung/samsum", {"data.name": "knkarthick/samsum"}),
        ("--dataset_name me/mine", {"data.name": "me/mine", "data.max_source_length": 1024}),
        ("--model_name_or_path facebook/bart-base", {"model.source_prefix": None}),
        (
            "--model_name_or_path facebook/mbart-large-50 --lang ko_KR --forced_bos_token ko_KR",
            {"model.lang": "ko_KR", "model.forced_bos_token": "ko_KR"},
        ),
        (
            "--model_name_or_path facebook/mbart-large-50 --lang ko_KR",
            {"model.lang": "ko_KR", "model.forced_bos_token": None},
        ),
        ("--model_name_or_path google/pegasus-xsum", {"model.resize_position_embeddings": True}),
        (
            "--model_name_or_path google/pegasus-xsum --resize_position_embeddings false",
            {"model.resize_position_embeddings": False},
        ),
        (
            "--model_name_or_path my/model",
            {
                "model.name_or_path": "my/model",
                "model.architecture": {},
                "training.max_steps": -1,
                "training.learning_rate": 5e-05,
                "training.per_device_train_batch_size": 8,
            },
        ),
        ("--source_prefix 'TL;DR: '", {"model.source_prefix": "TL;DR: "}),
    ],
)
def test_what_a_file_says_otherwise_is_set(flags: str, says: dict[str, Any]) -> None:
    base = "python run_summarization.py --do_train --do_eval"
    for name, value in {"model_name_or_path": "t5-small", "dataset_name": "samsum"}.items():
        base += "" if name in flags else f" --{name} {value}"
    assert said(migrate(f"{base} {flags}").line, says) == says


def test_a_file_that_repeats_the_language_is_recognized() -> None:
    base = "python run_summarization.py --model_name_or_path facebook/mbart-large-50 --do_train "
    found = migrate(f"{base} --dataset_name xsum --lang ko_KR")
    assert {"model.lang=ko_KR", "model.forced_bos_token=null"} <= set(found.words)
    assert (
        "--forced_bos_token: was not given; left away, though the file of model= has that of "
        "model.lang"
    ) in found.remarks
    assert "en_XX" not in " ".join(found.remarks)
    both = migrate(f"{base} --dataset_name xsum --lang ko_KR --forced_bos_token ko_KR")
    assert not any("forced_bos_token" in remark for remark in both.remarks)


@pytest.mark.parametrize("parity", [False, True])
@pytest.mark.parametrize(
    ("flags", "plain", "same", "remark"),
    [
        ("--generation_num_beams 4", 4, 1, "--num_beams, whose default is 1"),
        ("--num_beams 2 --generation_num_beams 4", 2, 2, "had no effect"),
        ("--generation_num_beams 4 --num_beams 2", 2, 2, "had no effect"),
        ("--num_beams 4 --generation_num_beams 4", 4, 4, ""),
        ("--num_beams 3", 3, 3, ""),
    ],
)
def test_beams_are_those_of_num_beams(
    flags: str, plain: int, same: int, remark: str, parity: bool
) -> None:
    found = migrate(f"{PARITY_OLD} {flags}", parity=parity)
    line = f"{found.line} {NO_PUNKT}" if parity else found.line
    assert composed(line).generation.num_beams == (same if parity else plain)
    reported = [one for one in found.remarks if one.startswith("--generation_num_beams")]
    assert len(reported) == bool(remark)
    assert all(remark in one for one in reported)
    if reported:
        assert ("in force now" in reported[0]) == (not parity and plain == 4)


SECRETS = ("hf_abcdefghijklmnopqrst", "plainsecret")


@pytest.mark.parametrize("secret", SECRETS)
@pytest.mark.parametrize(
    "command",
    [
        "python {script} --token {secret}",
        "python {script} --hub_token={secret}",
        "python {script} --push_to_hub_token {secret} --push_to_hub",
        "python {script} --use_auth_token {secret}",
        "HF_TOKEN={secret} WANDB_API_KEY={secret} python {script}",
        "export HF_TOKEN={secret}\npython {script} --hub_token $HF_TOKEN",
        "python {script} --hub={secret}",
        "python {script} --hub_tokn {secret}",
        "python {script} --token a {secret}",
        "MY_TOKEN={secret}\npython {script} --token $MY_TOKEN",
        "hf auth login --token {secret}\npython {script}",
        "MY_SECRET={secret} AWS_SECRET_ACCESS_KEY={secret} python {script}",
        "KAGGLE_KEY={secret} DB_PASSWD={secret} DB_PASS={secret} GH_PAT={secret} python {script}",
        "export key={secret} MYAPI_APIKEY={secret} AUTH={secret} \npython {script}",
        "CREDENTIALS={secret} GIT_CREDENTIAL={secret} NOTE=x$CREDENTIALS python {script}",
        "DB_PASSWD={secret}\npython {script} --run_name $DB_PASSWD",
    ],
)
def test_no_secret_is_printed(
    command: str, secret: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from summexp import cli

    with pytest.raises(SystemExit):
        cli.main(["migrate", command.format(script=SCRIPT, secret=secret)])
    out, err = capsys.readouterr()
    assert secret not in out + err
    assert "Traceback" not in err
    assert out or err


PARITY_OLD = (
    "python run_summarization.py --model_name_or_path m/t5 --train_file a.csv --do_train "
    "--validation_file b.csv --do_eval --predict_with_generate --output_dir out "
)
NO_PUNKT = "metric.sentences=sentencex"


def test_parity_keeps_what_the_files_of_ours_would_say_anyway() -> None:
    found = migrate(f"{PARITY_OLD} --eval_strategy epoch --save_total_limit 2", parity=True)
    assert "experiment=hf_parity" in found.words
    assert {"training.eval_strategy=epoch", "training.save_total_limit=2"} <= set(found.words)
    assert not any("other here" in remark for remark in found.remarks)
    config = composed(f"{migrate(PARITY_OLD, parity=True).line} {NO_PUNKT}")
    training = config.training
    assert (training.eval_strategy, training.save_strategy) == ("no", "steps")
    assert (training.save_total_limit, training.logging_steps) == (None, 500)
    assert (config.generation.num_beams, config.data.val_max_target_length) == (1, 128)
    longer = migrate(f"{PARITY_OLD} --max_target_length 60", parity=True)
    assert composed(f"{longer.line} {NO_PUNKT}").data.val_max_target_length == 60


def test_parity_groups_by_length_as_upstream_did() -> None:
    found = migrate(f"{PARITY_OLD} --group_by_length --seed 7", parity=True)
    config = composed(f"{found.line} {NO_PUNKT}")
    assert config.engine.sampler == "upstream"
    assert config.training.train_sampling_strategy == "group_by_length"
    assert not any("group_by_length" in remark for remark in found.remarks)


def test_parity_says_where_the_numbers_cannot_be_the_same() -> None:
    several = migrate(f"torchrun --nproc_per_node 2 {PARITY_OLD[7:]}", parity=True)
    assert any("one process" in remark for remark in several.remarks)
    with pytest.raises(ConfigError, match=r"--parity is for run_summarization\.py, and this is"):
        migrate("python run_summarization_no_trainer.py --dataset_name xsum", parity=True)
