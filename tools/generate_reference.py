"""Write `docs/reference/` from the config's dataclasses and from the files of `conf/`.

And the table of the old scripts' flags at the end of `docs/coming-from-the-scripts.md`.
`python tools/generate_reference.py` writes the pages; with `--check` it writes nothing, and ends
with exit code 1 if they are not what it would write.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flag_tables import flag_tables
from summexp.config.schema import SECTIONS, Config
from summexp.options import declared_choices, field_docs

ROOT = Path(__file__).resolve().parents[1]
CONF = ROOT / "conf"
REFERENCE = ROOT / "docs" / "reference"
OLD_SCRIPTS = ROOT / "docs" / "coming-from-the-scripts.md"
_FLAGS_HEAD = "## Every flag\n\n"
_HEAD = "Written by `tools/generate_reference.py`; not edited by hand."


def keys_page() -> str:
    """Return `config.md`: every key with its type, its default and the sentence under it."""
    sections = {"": Config, **SECTIONS}
    parts = [_section(path, section) for path, section in sections.items()]
    intro = "Every key, its type and the default that holds where no file of `conf/` sets it."
    return "\n\n".join(["# Keys", f"{_HEAD} {intro}", *parts]) + "\n"


def choices_page() -> str:
    """Return `choices.md`: every file of `conf/` with the first line that says what it is."""
    parts = []
    # What lies in conf/local is a machine's own.
    for group in sorted({path.parent for path in CONF.rglob("*.yaml")} - {CONF, CONF / "local"}):
        name = group.relative_to(CONF).as_posix()
        rows = [f"| `{path.stem}` | {_title(path)} |" for path in sorted(group.glob("*.yaml"))]
        parts.append("\n".join([f"## {name}", "", "| choice | |", "|---|---|", *rows]))
    intro = "Every choice; a choice is made as `model=t5_small`."
    return "\n\n".join(["# Choices", f"{_HEAD} {intro}", *parts]) + "\n"


def flags_page() -> str:
    """Return the page on the old scripts: its hand-written part, and the table of the flags."""
    written, head, _ = OLD_SCRIPTS.read_text(encoding="utf-8").partition(_FLAGS_HEAD)
    assert head, f"{OLD_SCRIPTS.name} has no heading {_FLAGS_HEAD.strip()!r}"
    intro = "What follows is written by `tools/generate_reference.py`; not edited by hand."
    return f"{written}{head}{intro}\n\n{flag_tables()}"


def _section(path: str, section: type) -> str:
    docs = field_docs(section)
    allowed = dict(declared_choices(section))
    prefix = f"{path}." if path else ""
    rows = [
        f"| `{prefix}{spec.name}` | {_type(spec, allowed)} | {_default(spec)} | {docs[spec.name]} |"
        for spec in dataclasses.fields(section)
        if path or spec.name not in SECTIONS
    ]
    table = ["| key | type | default | |", "|---|---|---|---|", *rows]
    return "\n".join([f"## {path or 'The run'}", "", *table])


def _type(spec: dataclasses.Field[Any], allowed: dict[str, tuple[str, ...]]) -> str:
    if spec.name in allowed:
        values = ", ".join(f"`{value}`" for value in allowed[spec.name])
        return values if spec.default is not None else f"{values}, null"
    name = str(spec.type).replace("None", "null")
    return f"`{name}`".replace("|", "\\|")


def _default(spec: dataclasses.Field[Any]) -> str:
    if spec.default is not dataclasses.MISSING:
        return f"`{json.dumps(spec.default)}`"
    if spec.default_factory is not dataclasses.MISSING:
        value = spec.default_factory()
        return f"`{json.dumps(value)}`" if isinstance(value, list) else "`{}`"
    return ""


def _title(path: Path) -> str:
    """Return the first comment of a choice that is not one of Hydra's own directives."""
    lines = path.read_text(encoding="utf-8").splitlines()
    comments = (line[2:] for line in lines if line.startswith("# ") and "@package" not in line)
    return next(comments, "").replace("|", "\\|")


def pages() -> Iterator[tuple[Path, str]]:
    """Yield each page, file and text."""
    yield REFERENCE / "config.md", keys_page()
    yield REFERENCE / "choices.md", choices_page()
    yield OLD_SCRIPTS, flags_page()


def main() -> int:
    """Write the pages, or with --check say which of them is out of date."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if out of date")
    check = parser.parse_args().check
    stale = 0
    for path, text in pages():
        if path.exists() and path.read_text(encoding="utf-8") == text:
            continue
        stale += 1
        print(f"{path.name} {'is out of date: run make generate' if check else 'is written'}")
        if not check:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    return int(check and bool(stale))


if __name__ == "__main__":
    sys.exit(main())
