"""The README in Korean and in Japanese says what the English one says, line by line."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NAMES = {"README.md": "English", "README.ko.md": "한국어", "README.ja.md": "日本語"}
LETTERS = {"README.ko.md": r"[가-힣]", "README.ja.md": r"[ぁ-ヿ一-龯]"}
KINDS = {"item": r"- ", "row": r"\|", "fence": r"```", "text": r"[^#]"}


def lines_of(name: str) -> list[tuple[str, str]]:
    """Return each line of a page with its kind; the lines of a block have its language."""
    found, block = [], None
    for line in (ROOT / name).read_text(encoding="utf-8").splitlines():
        # What is left is a heading, whose kind is its level, or an empty line.
        level = line.partition(" ")[0]
        kind = next((kind for kind, start in KINDS.items() if re.match(start, line)), level)
        if kind == "fence":
            block = f"block of {line[3:]}" if block is None else None
        found.append((block if block and kind != "fence" else kind, line))
    return found


def command_of(kind: str, line: str) -> object:
    """Return what a line of a block says to the machine: all but its comment."""
    if kind == "block of bash":
        return shlex.split(line.removesuffix("\\"), comments=True)
    return re.sub(r"(?<=<- ).+", "", line)


def links_in(line: str) -> list[str]:
    return sorted(re.findall(r"\]\(([^)]+)\)", line))


def facts_of(name: str) -> Iterator[tuple[str, object]]:
    """Yield what no translation changes of each line: its kind, and commands or code and links."""
    for kind, line in lines_of(name):
        if kind.startswith("block"):
            yield kind, command_of(kind, line)
        elif "English" in line and " · " in line:
            yield kind, "the languages"
        else:
            yield kind, (sorted(re.findall(r"`([^`]+)`", line)), links_in(line))


def numbers_in(line: str) -> set[str]:
    return set(re.findall(r"\d+(?:[.,]\d+)*", line))


@pytest.mark.parametrize("name", LETTERS)
def test_same_lines_commands_code_and_links(name: str) -> None:
    english, translated = [*facts_of("README.md")], [*facts_of(name)]
    assert sum(kind == "block of bash" for kind, _ in english) > 20
    for number, (ours, theirs) in enumerate(zip(english, translated, strict=False), start=1):
        assert ours == theirs, f"line {number}"
    assert len(english) == len(translated)


@pytest.mark.parametrize("name", LETTERS)
def test_numbers_of_the_english_page_are_kept(name: str) -> None:
    pairs = zip(lines_of("README.md"), lines_of(name), strict=True)
    lost = [
        (ours, theirs) for (_, ours), (_, theirs) in pairs if numbers_in(ours) - numbers_in(theirs)
    ]
    assert lost == []


@pytest.mark.parametrize(("name", "letters"), LETTERS.items())
def test_no_sentence_is_left_in_english(name: str, letters: str) -> None:
    prose = [
        line
        for kind, line in lines_of(name)
        if kind in ("##", "item", "row", "text") and re.search(r"\w", line)
    ]
    notes = [line for kind, line in lines_of(name) if kind == "block of " and "<- " in line]
    assert len(prose) > 50
    assert len(notes) > 30
    left = [line for line in prose + notes if not re.search(letters, line)]
    assert [line for line in left if "TensorBoard" not in line] == []


@pytest.mark.parametrize("name", NAMES)
def test_languages_stand_at_the_top(name: str) -> None:
    others = [text if page == name else f"[{text}]({page})" for page, text in NAMES.items()]
    assert [line for _, line in lines_of(name)[:3]] == ["# summexp", "", " · ".join(others)]


@pytest.mark.parametrize("name", NAMES)
def test_links_lead_to_files(name: str) -> None:
    targets = [link for _, line in lines_of(name) for link in links_in(line) if "://" not in link]
    assert len(targets) > 5
    assert [target for target in targets if not (ROOT / target.partition("#")[0]).exists()] == []
