"""Builds transformers' `Seq2SeqTrainingArguments` from the `training` group.

Importing this module is cheap; its function imports transformers (and so torch) when it is called.

Tested in tests/engines/test_schemas.py.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from summexp.engines.generated.training_config import TrainingConfig
from summexp.errors import ConfigError

if TYPE_CHECKING:
    from transformers import Seq2SeqTrainingArguments
from summexp.options import changed_fields
from summexp.upstream.transformers_errors import OPTION_ERRORS, option_problem, rejection


def training_arguments(
    config: TrainingConfig, *, output_dir: Path, seed: int, report_to: list[str], **over: Any
) -> Seq2SeqTrainingArguments:
    """Build transformers' training arguments, with the defaults of transformers.

    Args:
        config: the `training` group; it is not modified.
        output_dir: the run folder.
        seed: the run's seed.
        report_to: the trackers, by upstream's names; empty for none.
        over: fields set by the engine, under upstream's names; they override `config`.

    Raises:
        ConfigError: upstream rejects a value; has its message and the probable key.
    """
    from transformers import Seq2SeqTrainingArguments

    changed = changed_fields(config)
    # Upstream modifies mappings (`fsdp_config`).
    values = copy.deepcopy(changed)
    values |= {"output_dir": str(output_dir), "seed": seed, "report_to": report_to} | over
    if isinstance(values.get("debug"), list):
        # Upstream validates a string, but not a list.
        values["debug"] = " ".join(map(str, values["debug"]))
    try:
        if isinstance(values.get("parallelism_config"), Mapping):
            values["parallelism_config"] = _parallelism_config(values["parallelism_config"])
        return Seq2SeqTrainingArguments(**values)
    except OPTION_ERRORS as error:
        names = [spec.name for spec in fields(config)]
        raise ConfigError(rejection("training", error, changed, names)) from error


def _parallelism_config(options: Mapping[str, Any]) -> Any:
    from accelerate import ParallelismConfig

    try:
        return ParallelismConfig(**options)
    except OPTION_ERRORS as error:
        raise ConfigError(option_problem("training", "parallelism_config", str(error))) from error
