"""The file that `accelerate config` writes, as options of `accelerate launch`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from summexp.errors import ConfigError

_SAME = (
    "mixed_precision",
    "num_processes",
    "num_machines",
    "machine_rank",
    "main_process_ip",
    "main_process_port",
    "gpu_ids",
)


def options_of(name: str) -> dict[str, str | bool] | None:
    """Return the options of `accelerate launch` in a file, or None if there is no such file.

    Raises:
        ConfigError: the file is not a YAML mapping.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        return None
    try:
        content: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"--config_file {name}: {str(error).splitlines()[0]}") from error
    if not isinstance(content, dict):
        raise ConfigError.of(what=f"--config_file {name}: is not a mapping")
    options: dict[str, str | bool] = {
        key: str(content[key]) for key in _SAME if content.get(key) is not None
    }
    kind = str(content.get("distributed_type", "NO")).upper()
    switches = {"MULTI_GPU": "multi_gpu", "FSDP": "use_fsdp", "DEEPSPEED": "use_deepspeed"}
    if kind in switches:
        options[switches[kind]] = True
    options |= {"tpu": True} if kind in ("TPU", "XLA") else {}
    options |= {"cpu": True} if content.get("use_cpu") or kind == "MULTI_CPU" else {}
    deepspeed = content.get("deepspeed_config") or {}
    for key in ("zero_stage", "deepspeed_config_file"):
        if key in deepspeed:
            options[key] = str(deepspeed[key])
    return options
