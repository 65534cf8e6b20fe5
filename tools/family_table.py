"""Write `docs/reference/families.md`: what each encoder-decoder family of transformers can do here.

`python tools/family_table.py` trains, evaluates, predicts and resumes a tiny model of each, with
and without LoRA, in three minutes of one processor; it ends with exit code 1 if one of them fails.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import transformers

from summexp.check import check
from summexp.command_line import parse
from summexp.modeling.architecture import text_to_text_families
from summexp.runs.phase_runner import run_phases
from summexp.runs.record import begin
from summexp.runs.resume import plan_run
from summexp.upstream.transformers import ENCODER_DECODERS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "reference" / "families.md"
COLUMNS = ("trained", "evaluated", "predicted", "resumed", "LoRA")
_ROWS = 8
_OF_A_FAMILY = {
    # They begin with a language of their tokenizer, which a tiny one does not have.
    "mbart": ["model.architecture.decoder_start_token_id=2"],
    "plbart": ["model.architecture.decoder_start_token_id=2"],
}


@dataclass(frozen=True)
class Family:
    """What a tiny model of a family did."""

    model_type: str
    model_class: str
    parameters: int
    done: dict[str, bool]
    """What of `COLUMNS` it did."""


def try_family(model_type: str, folder: Path) -> Family:
    """Train a tiny model of a family with one engine, and its second step with the other.

    Args:
        model_type: its name in transformers.
        folder: new run folders are made in it.
    """
    whole, resumed, adapted = (folder / name for name in ("whole", "resumed", "adapted"))
    each_step = ["training.save_strategy=steps", "training.save_steps=1"]
    _run(model_type, whole, "engine=accelerate", *each_step)
    first = f"training.resume_from_checkpoint={whole / 'checkpoint-1'}"
    _run(model_type, resumed, "engine=trainer", first)
    _run(model_type, adapted, "engine=accelerate", "peft=lora")
    results, again = _read(whole, "all_results.json"), _read(resumed, "all_results.json")
    model = _read(whole, "run.json")["model"]
    predictions = [
        (one / "generated_predictions.jsonl").read_text().splitlines() for one in (whole, adapted)
    ]
    done = (
        _read(whole, "trainer_state.json")["global_step"] == 2,
        math.isfinite(results["eval_loss"]) and 0 <= results["eval_rougeL"] <= 100,
        len(predictions[0]) == _ROWS and math.isfinite(results["predict_loss"]),
        # Were a weight not loaded, the second step would be another.
        all(
            math.isclose(results[name], again[name], rel_tol=1e-5)
            for name in ("eval_loss", "predict_loss")
        ),
        len(predictions[1]) == _ROWS and (adapted / "adapter").is_dir(),
    )
    return Family(
        model_type,
        model["architecture"],
        model["parameters"],
        dict(zip(COLUMNS, done, strict=True)),
    )


def page(families: list[Family]) -> str:
    """Return the page of the table."""
    rejected = ", ".join(f"`{name}`" for name in sorted({*ENCODER_DECODERS} - {*_names(families)}))
    head = (
        "# Encoder-decoder families\n\n"
        "Written by `make test-families`; not edited by hand. Every family of "
        f"transformers {transformers.__version__} that reads and writes text: a tiny model with "
        "random weights (`debug=tiny`) was trained for two steps, evaluated, made to predict, and "
        "resumed from the first step by the other engine, with the same losses in the end. Any of "
        "them is `model=custom model.name_or_path=…`.\n\n"
    )
    tail = (
        f"\nTransformers lists these beside them; they read sound, and are rejected: {rejected}. "
        "So are those that read pictures.\n"
    )
    rows = [
        f"| `{one.model_type}` | {one.model_class} | {' | '.join(map(_word, one.done.values()))} |"
        for one in families
    ]
    names = " | ".join(("family", "class", *COLUMNS))
    lines = [f"| {names} |", "|" + "---|" * (2 + len(COLUMNS)), *rows]
    return head + "\n".join(lines) + "\n" + tail


def _names(families: list[Family]) -> Iterator[str]:
    yield from (one.model_type for one in families)


def _word(done: bool) -> str:
    return "yes" if done else "**no**"


def _run(model_type: str, folder: Path, *words: str) -> None:
    chosen = ["hardware=cpu", "debug=tiny", "model=custom", "model.init=random"]
    chosen += [f"model.architecture.model_type={model_type}", *_OF_A_FAMILY.get(model_type, [])]
    (job,) = check(parse([*chosen, "training.do_predict=true", *words]))
    folder.mkdir(parents=True, exist_ok=True)
    config = replace(job.config, output_dir=str(folder))
    plan = plan_run(config, folder)
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        run_phases(config, folder, begin(config, folder, resumes=plan.resumes), plan)


def _read(folder: Path, name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / name).read_text(encoding="utf-8"))
    return content


def main() -> int:
    """Write the page, and return the exit code."""
    families = []
    for model_type in text_to_text_families():
        with tempfile.TemporaryDirectory() as folder:
            families.append(try_family(model_type, Path(folder)))
        failed = [name for name, done in families[-1].done.items() if not done]
        print(model_type, f"failed: {', '.join(failed)}" if failed else "ok")
    PAGE.write_text(page(families), encoding="utf-8")
    return 0 if all(all(one.done.values()) for one in families) else 1


if __name__ == "__main__":
    sys.exit(main())
