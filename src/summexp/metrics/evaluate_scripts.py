"""Scripts of metrics of the `evaluate` library: location and imports.

Only the standard library is used, so that a config can be checked cheaply; no script is run.

Tested in tests/metrics/test_evaluate_metric.py.
"""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

from summexp.upstream.hf_environment import modules_cache

_PIP_NAMES = {"sklearn": "scikit-learn", "absl": "absl-py", "bert_score": "bert-score"}
"""Module to the package that has it, where the two differ."""


def module_name(path: str) -> str:
    """Return how a metric's script is called.

    >>> module_name("metrics/coverage/"), module_name("owner/style"), module_name("a/b.py")
    ('coverage', 'style', 'b')
    """
    return Path(path).name.removesuffix(".py")


def local_script(path: str) -> Path | None:
    """Return the script of a metric that lies here, as `evaluate.load` (0.4.6) looks for it."""
    own, inside = Path(path), Path(path, f"{module_name(path)}.py")
    if own.suffix == ".py" and own.is_file():
        return own
    return inside if inside.is_file() else None


def is_path(path: str) -> bool:
    """Return whether a metric's name can only be that of a folder or script here."""
    return path.startswith((".", "/", "~")) or path.count("/") > 1 or Path(path).exists()


def cached_script(path: str) -> Path | None:
    """Return the script of a metric of the Hub that was downloaded before."""
    modules = modules_cache()
    if modules is None:
        return None
    owners = ["evaluate-metric", "evaluate-measurement"] if "/" not in path else [""]
    for owner in owners:
        folder = (
            modules
            / "evaluate_modules"
            / "metrics"
            / "--".join(filter(None, (owner, *path.split("/"))))
        )
        if found := sorted(folder.glob(f"*/{module_name(path)}.py")):
            return found[-1]
    return None


def _imported(script: Path) -> list[str]:
    """Return the packages that a script imports at its top, in order."""
    try:
        content = ast.parse(script.read_bytes())
    except (SyntaxError, ValueError):
        return []  # reported where it is loaded
    names: dict[str, None] = {}
    for node in content.body:
        if isinstance(node, ast.Import):
            names |= dict.fromkeys(alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names[node.module.partition(".")[0]] = None
    return [name for name in names if name not in sys.stdlib_module_names]


def missing_packages(script: Path) -> list[str]:
    """Return what pip has to install for a script."""
    names = (name for name in _imported(script) if importlib.util.find_spec(name) is None)
    return [_PIP_NAMES.get(name, name) for name in names]


def package_versions(script: Path) -> Iterator[str]:
    """Yield package and version of what a script imports, those aside that every script does."""
    for name in _imported(script):
        if name in ("datasets", "evaluate", "numpy"):
            continue
        package = _PIP_NAMES.get(name, name)
        try:
            yield f"{package}-{importlib.metadata.version(package)}"
        except importlib.metadata.PackageNotFoundError:
            continue
