"""The old script beside `experiment=hf_parity`: the same batches, losses and scores.

    python benchmarks/parity --old-script run_summarization.py --nltk-data nltk_data

Makes a small T5 and a small BART and CSV files on the spot, and runs `run_summarization.py` on them
(the PyTorch one of transformers' examples, which is not in this repository) and then what
`summexp migrate --parity` makes of that very command, each in a process of its own, on the CPU,
without a network and with dropout. What each Trainer worked on is written down from inside the two
processes (`watch/sitecustomize.py`). Prints a table in Markdown for each model and set of flags.
Exit code 0 if all is equal that has to be, 1 if not, 2 if something is missing.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from comparison import Line, compare, new_outcome, old_outcome

ROOT = Path(__file__).resolve().parents[2]
WATCH = Path(__file__).resolve().parent / "watch"
MODELS = ("T5", "BART")
PACKAGES = ("transformers", "torch", "accelerate", "datasets", "evaluate", "rouge_score", "nltk")
COMMON = [
    *("--do_train", "--do_eval", "--do_predict", "--predict_with_generate"),
    *("--train_file", "train.csv", "--validation_file", "validation.csv"),
    *("--test_file", "test.csv", "--num_train_epochs", "2", "--learning_rate", "3e-3"),
    *("--per_device_train_batch_size", "4", "--per_device_eval_batch_size", "4"),
    *("--max_source_length", "96", "--max_target_length", "24", "--logging_steps", "1"),
    *("--use_cpu", "--report_to", "none"),
]
PREFIX = {"T5": ["--source_prefix", "summarize: "], "BART": []}
CASES = {
    "one beam": ["--seed", "7"],
    "two beams, accumulation, evaluation in training": [
        *("--num_beams", "2", "--eval_strategy", "epoch", "--val_max_target_length", "20"),
        *("--gradient_accumulation_steps", "2"),
        *("--warmup_steps", "5", "--max_grad_norm", "0.5", "--label_smoothing_factor", "0.1"),
    ],
}
"""Flags beside the common ones."""
MIGRATE = "from summexp.cli import main; main()"


def missing(script: Path, rouge: Path) -> Iterator[str]:
    """Yield what the old script needs and has not."""
    from summexp.errors import ConfigError
    from summexp.metrics.sentences import load_punkt

    if not script.is_file():
        yield (
            f"there is no file {script}: --old-script wants run_summarization.py, which is in "
            "examples/pytorch/summarization of the transformers repository"
        )
    if not rouge.is_file():
        yield (
            f"there is no file {rouge}: --rouge wants rouge.py, which the old script would "
            "download; it is in metrics/rouge of the evaluate repository"
        )
    if find_spec("evaluate") is None:
        yield "the package evaluate is not installed, which the old script imports"
    try:
        load_punkt()
    except ConfigError:
        yield (
            "nltk's punkt_tab data are not installed: --nltk-data wants a folder that holds "
            "tokenizers/punkt_tab (python -m nltk.downloader -d FOLDER punkt_tab)"
        )


def make_material(place: Path, rouge: Path, models: list[str]) -> None:
    """Write models, files, and what the old script looks for in its working folder."""
    from material import make_model, write_files

    write_files(place)
    for name in models:
        make_model(name, place / name.lower())
    (place / "rouge").mkdir()
    (place / "rouge" / "rouge.py").write_bytes(rouge.read_bytes())
    # It only looks whether this is there; what is read is punkt_tab.
    (place / "nltk" / "tokenizers" / "punkt").mkdir(parents=True)


def environment(place: Path, record: str) -> dict[str, str]:
    """Return the variables of both programs, which work without a network."""
    data = [str(place / "nltk"), *filter(None, [os.environ.get("NLTK_DATA")])]
    paths = [str(WATCH), str(ROOT / "src"), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(place / "hf"),
        "SUMMEXP_CACHE": str(place / "cache"),
        "NLTK_DATA": os.pathsep.join(data),
        "OMP_NUM_THREADS": "1",
        "PARITY_RECORD": str(place / record),
        "PYTHONPATH": os.pathsep.join(paths),
    }


def run(words: list[str], place: Path, record: str) -> str:
    """Run `python WORDS` in `place`; return what it says on standard output.

    Raises:
        RuntimeError: it did not end well.
    """
    done = subprocess.run(
        [sys.executable, *words],
        cwd=place,
        env=environment(place, record),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{shlex.join(words)} ended with {done.returncode}:\n{done.stderr}")
    return done.stdout


def both(script: Path, place: Path, model: str, case: str) -> tuple[str, str, list[Line]]:
    """Run one model with one set of flags in both programs; return the commands and the lines."""
    from transformers import AutoTokenizer

    name = f"{model.lower()}-{list(CASES).index(case)}"
    flags = ["--model_name_or_path", model.lower(), *COMMON, *PREFIX[model], *CASES[case]]
    old = [*flags, "--output_dir", f"{name}-old"]
    run([str(script), *old], place, f"{name}-old.jsonl")
    called = ["python", script.name, *flags, "--output_dir", f"{name}-new"]
    line = run(["-c", MIGRATE, "migrate", "--parity", "--", *called], place, "none").strip()
    new = shlex.split(line)[2:]
    run([str(ROOT / "train.py"), *new], place, f"{name}-new.jsonl")
    tokenizer = AutoTokenizer.from_pretrained(place / model.lower())
    lines = compare(
        old_outcome(place / f"{name}-old", place / f"{name}-old.jsonl"),
        new_outcome(
            place / f"{name}-new",
            place / f"{name}-new.jsonl",
            lambda text: tokenizer.clean_up_tokenization(text).strip(),
        ),
    )
    return shlex.join(called), line, list(lines)


def arguments() -> argparse.Namespace:
    """Return what the command line says."""
    parser = argparse.ArgumentParser(
        prog="python benchmarks/parity", description=(__doc__ or "").partition("\n")[0]
    )
    parser.add_argument("--old-script", type=Path, required=True, help="run_summarization.py")
    parser.add_argument("--rouge", type=Path, help="rouge.py of evaluate (default: beside it)")
    parser.add_argument("--nltk-data", type=Path, help="a folder with tokenizers/punkt_tab")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES))
    return parser.parse_args()


def main() -> int:
    """Run everything, print the tables, and return the exit code."""
    args = arguments()
    script = args.old_script.resolve()
    rouge = (args.rouge or script.with_name("rouge.py")).resolve()
    if args.nltk_data is not None:
        os.environ["NLTK_DATA"] = str(args.nltk_data.resolve())
    if problems := list(missing(script, rouge)):
        print(*problems, sep="\n", file=sys.stderr)
        return 2
    print("# The old script beside experiment=hf_parity\n")
    print(
        f"`python benchmarks/parity --old-script {script.name}`, {datetime.date.today()}:", end=" "
    )
    versions = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    print(f"one CPU core, Python {platform.python_version()}, {versions}.")
    unequal = 0
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        make_material(place, rouge, args.models)
        for model in args.models:
            for case in args.cases:
                old, new, lines = both(script, place, model, case)
                print(f"\n## {model}, {case}\n\n```shell\n{old}\n{new}\n```\n")
                print("| | old | new | equal |\n|---|---|---|---|")
                print(*(line.cells for line in lines), sep="\n", flush=True)
                unequal += sum(not line.is_fine for line in lines)
    print(f"\nEqual wherever it has to be: {'no' if unequal else 'yes'}.")
    return 1 if unequal else 0


if __name__ == "__main__":
    sys.exit(main())
