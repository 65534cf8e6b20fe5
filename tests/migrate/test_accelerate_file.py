"""The file of `accelerate config`."""

from __future__ import annotations

from pathlib import Path

from tests.migrate.composed import translated, values_of

LOOP = "run_summarization_no_trainer.py --model_name_or_path t5-small --dataset_name xsum"


def test_the_accelerate_config_file_is_read_where_it_is() -> None:
    Path("acc.yaml").write_text(
        "distributed_type: MULTI_GPU\nmixed_precision: bf16\nnum_machines: 1\nnum_processes: 4\n",
        encoding="utf-8",
    )
    found = translated(f"accelerate launch --config_file acc.yaml {LOOP}")
    values = {"hardware.processes": 4, "training.bf16": True, "engine.name": "accelerate"}
    assert values_of(found, values) == values
    assert found.choices["hardware"] == "ddp8_bf16"
    found = translated(f"accelerate launch --config_file absent.yaml {LOOP}")
    assert any("absent.yaml: no such file" in remark for remark in found.remarks)
