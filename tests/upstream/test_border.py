"""Private and unstable names of other libraries are used in `summexp.upstream` only."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCES = Path(__file__).resolve().parents[2] / "src"
BORDER = SOURCES / "summexp" / "upstream"

UNSTABLE: dict[str, tuple[str, ...]] = {
    "hydra": (
        "hydra.core.config_search_path",
        "hydra.core.default_element",
        "hydra.core.global_hydra",
        "hydra.core.plugins",
        "hydra.grammar",
        "hydra.version",
    ),
    "omegaconf": ("omegaconf.base", "omegaconf.basecontainer", "omegaconf.nodes"),
    "transformers": (
        "transformers.integrations",
        "transformers.models",
        "transformers.pytorch_utils",
        "transformers.trainer_callback",
        "transformers.trainer_pt_utils",
        "transformers.trainer_utils",
        "transformers.training_args",
    ),
    "accelerate": (
        "accelerate.data_loader",
        "accelerate.state",
        "accelerate.utils.fsdp_utils",
        "accelerate.utils.imports",
        "accelerate.utils.load_fsdp_optimizer",
        "accelerate.utils.save_fsdp_model",
        "accelerate.utils.save_fsdp_optimizer",
    ),
    "datasets": ("datasets.config", "datasets.data_files", "datasets.table"),
    "peft": ("peft.tuners", "peft.utils"),
}
"""Library to modules, or names in them, that it may change without notice."""

OF_PYTHON = {"_asdict", "_exit", "_fields", "_open", "_replace"}
"""Names of Python itself: those of named tuples, `os._exit`, and `logging.FileHandler._open`."""

_PRIVATE_TEXT = re.compile(rf"({'|'.join(UNSTABLE)})\.(\w+\.)*_\w")


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in OF_PYTHON


def is_upstream(dotted: str) -> bool:
    """Whether a dotted name is private in, or an unstable part of, one of the libraries."""
    parts = dotted.split(".")
    unstable = UNSTABLE.get(parts[0])
    if unstable is None:
        return False
    if any(map(is_private, parts)):
        return True
    return any(f"{dotted}.".startswith(f"{one}.") for one in unstable)


def own_names(tree: ast.Module) -> set[str]:
    """The private names that a module defines."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            if isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"):
                names.add(node.attr)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
    return names


def overrides(tree: ast.Module) -> Iterator[str]:
    """The private methods that their module does not name: a base class calls them."""
    read = {name for node in ast.walk(tree) if (name := attribute(node)) is not None}
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.bases:
            for one in node.body:
                is_method = isinstance(one, ast.FunctionDef) and is_private(one.name)
                if is_method and one.name not in read:
                    yield one.name


def imported(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    """The dotted names that a statement imports."""
    for alias in node.names:
        if isinstance(node, ast.Import):
            yield alias.name
        else:
            yield f"{node.module}.{alias.name}"


def attribute(node: ast.AST) -> str | None:
    """The name of an attribute that is read, written or deleted, also by `getattr`."""
    if isinstance(node, ast.Attribute):
        return node.attr
    if (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in ("getattr", "hasattr", "setattr", "delattr")
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    ):
        return str(node.args[1].value)
    return None


def used(tree: ast.Module) -> Iterator[str]:
    """The private and unstable names of the libraries that a module uses.

    Of which library an object is cannot be seen here: a private attribute counts unless the module
    defines it.
    """
    own = own_names(tree)
    yield from overrides(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from filter(is_upstream, imported(node))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            if _PRIVATE_TEXT.match(node.value):
                yield node.value
        elif name := attribute(node):
            is_foreign = name not in own or is_of_super(node)
            if is_private(name) and is_foreign:
                yield name


def is_of_super(node: ast.AST) -> bool:
    """Whether a node is an attribute of `super()`."""
    holder = node.value if isinstance(node, ast.Attribute) else None
    called = holder.func if isinstance(holder, ast.Call) else None
    return isinstance(called, ast.Name) and called.id == "super"


def names_in(path: Path) -> set[str]:
    return set(used(ast.parse(path.read_text(encoding="utf-8"))))


FILES = sorted(path for path in SOURCES.rglob("*.py") if BORDER not in path.parents)


def test_names_of_other_libraries_are_used_at_the_border_only() -> None:
    found = {
        str(path.relative_to(SOURCES)): sorted(names) for path in FILES if (names := names_in(path))
    }
    assert found == {}, "use a public name, or move it to src/summexp/upstream with a test of it"


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from hydra._internal.utils import x", "hydra._internal.utils.x"),
        ("import datasets._private", "datasets._private"),
        ("from hydra import version\nimport hydra.version as v", "hydra.version"),
        ("from hydra import version", "hydra.version"),
        ("prefix = 'hydra._internal.core_plugins.'", "hydra._internal.core_plugins."),
        ("split._fingerprint", "_fingerprint"),
        ("getattr(config, '_commit_hash', None)", "_commit_hash"),
        ("class A(Trainer):\n    def f(self): return self._tr_loss", "_tr_loss"),
        ("class A(Trainer):\n    def _run(self): super()._run()", "_run"),
        ("class A(Trainer):\n    def _push(self): pass", "_push"),
    ],
)
def test_a_private_name_is_seen(code: str, name: str) -> None:
    assert set(used(ast.parse(code))) == {name}


@pytest.mark.parametrize(
    "code",
    [
        "from hydra.types import RunMode\nfrom hydra import __version__, compose",
        "import os\nos._exit(1)",
        "point._asdict()",
        "class A(Base):\n    def _own(self): self._own()",
        "class A:\n    def f(self, other): self._x = other._x",
        "from summexp._other import x",
        "text = 'hydra.run.dir'",
    ],
)
def test_a_public_name_is_not(code: str) -> None:
    assert set(used(ast.parse(code))) == set()
