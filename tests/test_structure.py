"""Each module of the package has its test file, or says where it is tested."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "summexp"
MODULES = sorted(
    path
    for path in PACKAGE.rglob("*.py")
    # What is generated is compared with what its generator writes.
    if not path.name.startswith("__") and path.parent.name != "generated"
)


def mirrored(module: Path) -> Path:
    """The test file of a module: `data/files.py` has `tests/data/test_files.py`."""
    name = module.relative_to(PACKAGE)
    return ROOT / "tests" / name.with_name(f"test_{name.name}")


def named(module: Path) -> list[Path]:
    """The test files that the docstring of a module or of its package names."""
    package = module.parent / "__init__.py"
    docs = [ast.get_docstring(ast.parse(one.read_text("utf-8"))) or "" for one in (module, package)]
    lines = re.findall(r"^Tested in (.+)\.$", "\n".join(docs), re.MULTILINE)
    return [ROOT / name for line in lines for name in re.split(r", | and ", line)]


def test_each_module_has_its_tests() -> None:
    without = [
        str(one.relative_to(ROOT)) for one in MODULES if not (mirrored(one).is_file() or named(one))
    ]
    assert without == [], "add the test file, or `Tested in tests/….py.` to the docstring"


def test_what_a_module_names_is_a_test_file() -> None:
    wrong = {
        str(module.relative_to(ROOT)): str(path.relative_to(ROOT))
        for module in MODULES
        for path in named(module)
        if not path.is_file() or not path.name.startswith("test_")
    }
    assert wrong == {}


def test_each_test_file_has_a_name_of_its_own_folder() -> None:
    """A folder of tests is one of the package, or one that CONTRIBUTING names."""
    folders = {
        path.parent.relative_to(ROOT / "tests") for path in (ROOT / "tests").rglob("test_*.py")
    }
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    other = {one for one in folders if not (PACKAGE / one).is_dir()}
    assert {one for one in other if f"`tests/{one.as_posix()}/`" not in text} == set()
