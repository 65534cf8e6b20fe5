"""Removal of local paths from published texts.

Tested in tests/runs/test_hub_upload.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from omegaconf import OmegaConf

_FULL_PATH = re.compile(r"(?:file://)?(?:~\w*)?/.*[^/]|[A-Za-z]:\\.*", re.DOTALL)
"""A text that is an absolute path from its first character to its last; it may hold spaces."""
_INSIDE = re.compile(
    r"""(?:file://|(?:(?<![\w./\\~:<}-])|(?<=[\w=]:))(?:~\w*)?)   # not in an address, nor in a/b
    /(?=[^\s/])[^\s'"`,;()\[\]{}<>|]*[^\s'"`,;()\[\]{}<>|.:]
    |(?<!\w)[A-Za-z]:\\[^\s'"`,;()\[\]{}<>|]+""",
    re.VERBOSE,
)
"""An absolute path somewhere in a text."""


def without_folders(text: str) -> str:
    """Return a text in which each absolute path is its last part.

    >>> without_folders("data.train_file=/home/ann/my data/train.csv")
    'data.train_file=train.csv'
    >>> without_folders("{a:/data/a.csv,b:~/b.csv} from https://huggingface.co/org/name, rows/s")
    '{a:a.csv,b:b.csv} from https://huggingface.co/org/name, rows/s'
    """
    head, equals, value = text.partition("=")
    if equals and re.fullmatch(r"[\w.+~-]+", head) and _FULL_PATH.fullmatch(value):
        return f"{head}={_last_part(value)}"
    if _FULL_PATH.fullmatch(text) and "\n" not in text:
        return _last_part(text)
    return _INSIDE.sub(lambda match: _last_part(match[0]), text)


def tree_without_folders(tree: Any) -> Any:
    """Return nested lists and mappings with `without_folders` of each of their texts."""
    if isinstance(tree, str):
        return without_folders(tree)
    if isinstance(tree, dict):
        return {
            tree_without_folders(name): tree_without_folders(value) for name, value in tree.items()
        }
    if isinstance(tree, list):
        return [tree_without_folders(value) for value in tree]
    return tree


def config_without_folders(config: Mapping[str, Any]) -> str:
    """Return a config as YAML with `without_folders` of each of its texts."""
    return OmegaConf.to_yaml(OmegaConf.create(tree_without_folders(dict(config))))


def _last_part(path: str) -> str:
    return re.split(r"[/\\]", path.rstrip("/\\"))[-1]
