"""Launchers, and the words around them."""

from __future__ import annotations

from typing import Any

import pytest
from tests.migrate.composed import FLAGS, SCRIPT, migrated, translated, values_of

CORE = {
    "model.name_or_path": "google-t5/t5-small",
    "data.name": "abisee/cnn_dailymail",
    "output_dir": "out",
}
GPU = {"hardware.backend": "cuda"}
EIGHT = {**GPU, "hardware.processes": 8}


@pytest.mark.parametrize(
    ("command", "chosen", "values"),
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
def test_launcher_chooses_the_hardware(command: str, chosen: str, values: dict[str, Any]) -> None:
    found = translated(command)
    assert found.choices.get("hardware", "") == chosen
    expected = {**CORE, **values}
    assert values_of(found, expected) == expected


def test_several_machines_keep_their_rendezvous() -> None:
    command = (
        "torchrun --nnodes 2 --nproc_per_node 4 --node_rank 1 --master_addr node0 "
        f"--master_port 29500 {SCRIPT} --bf16"
    )
    line = migrated(command).line
    assert line.startswith("NODE_RANK=1 MASTER_ADDR=node0 MASTER_PORT=29500 python train.py ")
    values = {"hardware.nodes": 2, "hardware.processes": 4}
    assert values_of(translated(command), values) == values
    found = translated(
        "accelerate launch --num_machines 2 --num_processes 16 --main_process_ip n "
        f"--machine_rank 0 {SCRIPT}"
    )
    assert found.environment == {"NODE_RANK": "0", "MASTER_ADDR": "n"}
    assert any("MASTER_PORT set there" in remark for remark in found.remarks)
    values = {"hardware.nodes": 2, "hardware.processes": 8}
    assert values_of(found, values) == values
    found = translated(f"torchrun --nnodes=2 --rdzv_endpoint=h:29400 --rdzv_backend c10d {SCRIPT}")
    assert found.environment == {"MASTER_ADDR": "h", "MASTER_PORT": "29400"}


@pytest.mark.parametrize(
    ("launcher", "devices", "processes"),
    [
        ("deepspeed --include localhost:0,3", "0,3", 2),
        ("accelerate launch --multi_gpu --gpu_ids 1,2,3", "1,2,3", 3),
        ("accelerate launch --multi_gpu --num_processes 2 --gpu_ids all", None, 2),
        ("deepspeed --include localhost", None, 8),
    ],
)
def test_devices_of_the_launcher_stay_visible(
    launcher: str, devices: str | None, processes: int
) -> None:
    found = translated(f"{launcher} {SCRIPT}")
    assert found.environment.get("CUDA_VISIBLE_DEVICES") == devices
    assert values_of(found, ["hardware.processes"]) == {"hardware.processes": processes}


def test_what_a_launcher_cannot_pass_on_is_reported() -> None:
    for launcher, remark in {
        "torchrun --nnodes 1:4 --nproc_per_node 2": "--nnodes 1:4: elastic training is not",
        "python xla_spawn.py --num_cores 4": "--num_cores 4: hardware=tpu8 uses every core",
        "torchrun --max_restarts 3": "--max_restarts of torchrun: not needed, left out",
        "accelerate launch --config_file absent.yaml": "--config_file absent.yaml: no such file",
    }.items():
        remarks = translated(f"{launcher} {SCRIPT}").remarks
        assert any(one.startswith(remark) for one in remarks), (launcher, remarks)


def test_words_before_the_launcher() -> None:
    assert translated(f"time FOO=1 python {SCRIPT}") == translated(f"FOO=1 python {SCRIPT}")
    remark = "nice: left out; put it in front of python again where it is needed"
    assert remark in translated(f"nice -n 5 python {SCRIPT}").remarks


def test_the_rendezvous_may_be_left_to_the_shell() -> None:
    command = (
        "export MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1)\n"
        "export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK PATH=/opt/bin:$PATH\n"
        "srun torchrun --nnodes 2 --nproc_per_node 8 --node_rank $SLURM_NODEID "
        f"--rdzv_id $SLURM_JOB_ID --rdzv_endpoint $MASTER_ADDR:$MASTER_PORT {SCRIPT}"
    )
    found = migrated(command)
    assert found.line.startswith(
        "MASTER_ADDR=$(scontrol show hostnames $SLURM_JOB_NODELIST | head -n 1) "
        "OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK NODE_RANK=$SLURM_NODEID MASTER_PORT=$MASTER_PORT "
        "python train.py "
    )
    assert any(remark.startswith("PATH: left out") for remark in found.remarks)
    assert migrated(f"NOTE=$'a\\tb' python {SCRIPT}").line.startswith(
        "NOTE=$'a\\tb' python train.py "
    )
    accelerate = "accelerate launch --num_machines 2 --num_processes 16 --machine_rank $RANK"
    found = translated(f"{accelerate} --main_process_ip $HEAD {SCRIPT}")
    assert found.environment.keys() == {"NODE_RANK", "MASTER_ADDR"}
