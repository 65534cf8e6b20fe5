from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hydra.core.hydra_config import HydraConfig

from summexp.check import check
from summexp.command_line import parse
from summexp.config.saved import saved_yaml
from summexp.distributed.config import HardwareConfig
from summexp.run_folder.layout import CONFIG_FILE
from summexp.runs.resume import RunPlan
from summexp.runs.spec import Launch, RunSpec

PLAN = RunPlan(resumes=True, train=False, evaluate=True, predict=False, push=True)


def test_a_rank_reads_what_the_leader_wrote(tmp_path: Path) -> None:
    words = ["debug=tiny", 'model.source_prefix="요약: \\${x} "', "hardware=ddp2_cpu"]
    (job,) = check(parse([*words, f"output_dir={tmp_path}"]))
    HydraConfig.instance().set_config(job.tree)
    try:
        spec = RunSpec.new(job.config, tmp_path, PLAN)
    finally:
        HydraConfig.instance().cfg = None
    (tmp_path / CONFIG_FILE).write_text(saved_yaml(job.config, "a run"), encoding="utf-8")
    spec.write()
    read = RunSpec.read(tmp_path)
    assert read == replace(spec, config=read.config)
    assert read.config == job.config
    assert read.launch is Launch.LOCAL
    tree = read.hydra_config()
    assert tree is not None
    assert tree.hydra.job.name == job.tree.hydra.job.name


def test_a_run_without_hydra_has_no_config_of_it(tmp_path: Path) -> None:
    (job,) = check(parse(["debug=tiny", f"output_dir={tmp_path}"]))
    spec = RunSpec.new(job.config, tmp_path, PLAN)
    assert spec.hydra is None
    assert spec.hydra_config() is None
    assert spec.launch is Launch.SINGLE


def test_ranks_of_a_launcher_are_external(monkeypatch: pytest.MonkeyPatch) -> None:
    hardware = HardwareConfig(processes=2)
    assert Launch.of(hardware) is Launch.LOCAL
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert Launch.of(hardware) is Launch.EXTERNAL
