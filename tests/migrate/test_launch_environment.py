"""Variables in front of a command, and secrets wherever they are."""

from __future__ import annotations

import pytest
from tests.migrate.composed import SCRIPT, migrated, translated, value_of, values_of

from summexp import cli


def test_variables_in_front() -> None:
    command = (
        "CUDA_VISIBLE_DEVICES=0,1 TOKENIZERS_PARALLELISM=false HF_HUB_OFFLINE=1 "
        f"WANDB_PROJECT='my project' WANDB_NAME=first WANDB_TAGS=a,b python {SCRIPT} "
        "--report_to wandb"
    )
    line, found = migrated(command).line, translated(command)
    assert line.startswith("CUDA_VISIBLE_DEVICES=0,1 TOKENIZERS_PARALLELISM=false python")
    values = {
        "offline": True,
        "tracking.project": "my project",
        "tracking.run_name": "first",
        "tracking.tags": ["a", "b"],
        "tracking.trackers": ["wandb"],
    }
    assert values_of(found, values) == values
    assert found.choices["tracking"] == "wandb"
    found = translated(f"WANDB_DISABLED=true python {SCRIPT} --report_to wandb tensorboard")
    assert value_of(found, "tracking.trackers") == ["tensorboard"]
    found = translated(f"env HF_DATASETS_OFFLINE=0 CUDA_VISIBLE_DEVICES=3 python {SCRIPT}")
    assert found.environment == {"CUDA_VISIBLE_DEVICES": "3"}
    assert value_of(found, "offline") is False


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
    assert translated(f"{before}\npython {SCRIPT}").environment == kept


@pytest.mark.parametrize("command", ['export NOTE="a\nb"\npython {}', "NOTE='a\nb' python {}"])
def test_a_variable_of_several_lines_is_left_out(command: str) -> None:
    found = translated(command.format(SCRIPT))
    assert found.environment == {}
    remark = "NOTE: holds a line break, left out; export it before the new command"
    assert remark in found.remarks


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
    with pytest.raises(SystemExit):
        cli.main(["migrate", command.format(script=SCRIPT, secret=secret)])
    out, err = capsys.readouterr()
    assert secret not in out + err
    assert "Traceback" not in err
    assert out or err
