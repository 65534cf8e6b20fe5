"""What a message advises is done word for word, and leads to a command that `check` passes."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from tests import forked
from tests.mistakes import GOOD_FILES, MISTAKES, make_folder

from summexp.check import check
from summexp.command_line import parse
from summexp.errors import ConfigError, Problem

STEPS = 2
"""So many messages may come before the command is right."""
LINES_APART = 24
"""Of the wrong commands every so many is tried each time; all of them with `-m slow`."""
SHARE = 0.97
"""Of the wrong commands, those that have to become right."""
HOLD = """\
import sys
from pathlib import Path
from summexp.runs.lock import lock
held = lock(Path("locked"))
print("locked", flush=True)
sys.stdin.read()
"""
"""Another run, as far as its lock goes, until its input ends."""
PLACEHOLDERS = {
    "FILE": "dev.csv",
    "FOLDER": "models/good",
    "COLUMN": "summary",
    "SPLIT": "train",
    "NAME": "corpus",
    "OWNER/NAME": "google-t5/t5-small",
    "VALUE": "1",
}
"""What stands in capital letters in a message is for the user to fill in."""

_SETTING = re.compile(r"""'([\w./]+="[^']*")'|(?<![\w./-])([\w./]+=(?:\[[^\]]*\]|[^\s,;'")]+))""")
_MEANT = re.compile(r"Did you mean '([^']+)'")
_INSTEAD = re.compile(r"\b[Ss]et ([\w.]+) instead")
_REMOVED = re.compile(r"\b[Rr]emove ((?:[~\w./-]+)(?: and [\w./-]+)*)")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    make_folder(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    return tmp_path


def problems(words: list[str]) -> list[Problem]:
    try:
        check(parse(words))
    except ConfigError as error:
        return error.problems
    return []


def apply_advice(words: list[str], problem: Problem) -> list[str]:
    """Do the first thing that the hint of a problem advises; return the words as they were if none.

    Alternatives are parted by `, or` and by the ends of sentences.
    """
    for advice in re.split(r", or |; |[.?] (?=[A-Z\n])", problem.hint or ""):
        changed = _without_flag(_done(words, problem, advice), problem)
        if changed != words:
            return changed
    return words


def _done(words: list[str], problem: Problem, advice: str) -> list[str]:
    key = problem.key or ""
    is_flag = problem.what.startswith("there is no flag")
    if (found := _MEANT.search(advice)) and not (is_flag and found[1][:1] != "-"):
        return _replaced(words, problem, found[1])
    if spaced := re.match(r"'(.+)' has a space beside the equals sign", problem.what):
        line = shlex.join(words).replace(spaced[1], advice.removeprefix("Write "))
        return shlex.split(line)
    if found := _INSTEAD.search(advice):
        return [re.sub(rf"^{re.escape(key)}=", f"{found[1]}=", word) for word in words]
    if "Remove the plus" in advice:
        return [word.lstrip("+") if _name(word) == key else word for word in words]
    if "Add -m" in advice:
        return ["-m", *words]
    if "--cfg job --resolve" in advice:
        return ["--cfg", "job", *words]
    if "Copy or download" in advice:
        _copy_again(problem)
    if (found := _REMOVED.search(advice)) and "one of them" not in advice:
        gone = {
            key if one in ("it", "them") else one for one in found[1].rstrip(".").split(" and ")
        }
        gone |= {after for word, after in pairwise(words) if word in gone and word[:2] == "--"}
        words = [word for word in words if _name(word) not in gone and word not in gone]
    elif found:
        words = words[1:]
    if "in its place" in advice or "instead" in advice:
        words = [word for word in words if _name(word) != key]
    # Columns are listed below the advice, each to be filled in once.
    listed = re.findall(r"^ +(\w+): ", problem.hint or "", re.MULTILINE)
    for quoted, plain in _SETTING.findall(advice):
        if plain.endswith("=COLUMN") and listed:
            plain = plain.replace("COLUMN", listed.pop(0))
        words = _set(words, quoted or plain.rstrip("."))
    return words


def _replaced(words: list[str], problem: Problem, meant: str) -> list[str]:
    """Put what is meant in place of a key, a value, an item of a list, or a flag's value."""
    if typed := re.match(r"cannot parse '(.+)': it has", problem.what):
        wide = typed[1].replace("\\u3000", "\u3000")
        return [one for word in words for one in (shlex.split(meant) if word == wide else [word])]
    if problem.key is None:
        wrong = re.findall(r"no (?:flag )?([\w-]+?)(?:\.yaml)?$", problem.what)
        if meant.startswith("--"):
            return [meant if word == wrong[0] else word for word in words]
        return [meant if word in wrong else word for word in words]
    found = []
    for word in words:
        name, _, value = word.partition("=")
        if name.lstrip("+~") != problem.key:
            found.append(word)
        elif "there is no such key" in problem.what:
            found.append(f"{meant}={value}")
        else:
            items = [one for one in re.findall(r"'([^']+)'", problem.what) if one in value]
            is_list = value.startswith("[") and items
            found.append(f"{name}={value.replace(items[0], meant) if is_list else meant}")
    return found


def _set(words: list[str], setting: str) -> list[str]:
    name, _, value = setting.partition("=")
    setting = f"{name}={PLACEHOLDERS.get(value, value)}"
    if not any(_name(word) == name for word in words):
        return [*words, setting]
    return [setting if _name(word) == name else word for word in words]


def _without_flag(words: list[str], problem: Problem) -> list[str]:
    """Take out a flag that there is not, and the word that was its value."""
    found = re.match(r"there is no flag (--\w+)$", problem.what)
    if found is None or not any(_name(word) and "=" in word for word in words):
        return words
    flags = [index for index, word in enumerate(words) if word.split("=")[0] == found[1]]
    for index in flags:
        has_value = "=" not in words[index] and words[index + 1 : index + 2]
        del words[index : index + 1 + bool(has_value and "=" not in words[index + 1])]
    return words


def _copy_again(problem: Problem) -> None:
    folder = re.search(r"models/\w+", problem.what)
    assert folder is not None
    shutil.rmtree(folder[0])
    shutil.copytree("models/good", folder[0])


def _name(word: str) -> str:
    return word.partition("=")[0].lstrip("+~")


def apply_all_advice(line: str) -> tuple[list[str], list[Problem]]:
    """Follow what is advised for so many steps; return the words, and what is wrong with them."""
    words = shlex.split(line)
    found = problems(words)
    assert found, line
    for _ in range(STEPS):
        for problem in found:
            words = apply_advice(list(words), problem)
        if not (found := problems(words)):
            break
    return words, found


def _trial(lines: list[str]) -> list[str]:
    """Return a line for each command that does not become right."""
    # In a process of its own: this one could take the same lock once more.
    with subprocess.Popen(
        [sys.executable, "-c", HOLD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"locked\n"
        try:
            ends = [(line, *apply_all_advice(line)) for line in lines]
        finally:
            other.communicate()
    return [f"{line[:80]} -> {words}: {found[0]}" for line, words, found in ends if found]


LINES = [line.replace("{F}", GOOD_FILES) for line, _ in MISTAKES]


@pytest.mark.usefixtures("folder")
def test_advice_works_word_for_word() -> None:
    assert _trial(LINES[::LINES_APART]) == []


@pytest.mark.slow
@pytest.mark.usefixtures("folder")
def test_of_all_advice_hardly_any_fails() -> None:
    failed = _trial(LINES)
    assert len(LINES) >= 100
    assert len(failed) <= (1 - SHARE) * len(LINES), "\n".join(failed)


@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "model=t5_tny",
        "--max_steps 1",
        "training.max_step=1",
        "+training.max_steps=1",
        "training.max_steps=1e0",
        "generation.num_beams=0",
        "seed=-1",
        "data=custom_csv data.train_file=trian.csv data.validation_file=dev.csv",
        "data=custom_csv data.train_file=train.csv",
        "data=custom_csv data.test_file=test.csv",
    ],
)
def test_what_was_advised_is_a_command_that_runs(line: str, folder: Path) -> None:
    words, left = apply_all_advice(line)
    assert left == []
    code, output = forked.run("debug=tiny", *words, log=folder / "log", cwd=folder)
    assert code == 0, output
