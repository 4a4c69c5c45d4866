"""Reads the mutants that behave like the code, so that no test can notice them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path

from .making import Mutant

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LIST = Path(__file__).with_name("equivalent.toml")

Key = tuple[str, str, str, str]


def listed(path: Path = LIST) -> dict[Key, str]:
    """Return the reasons by :attr:`Mutant.key`."""
    reasons: dict[Key, str] = {}
    for group in tomllib.loads(path.read_text())["equivalent"]:
        for before, after in group["mutants"]:
            key = (group["path"], group["where"], before, after)
            if key in reasons:
                raise ValueError(f"listed twice: {key}")
            reasons[key] = group["reason"]
    return reasons


def unknown(reasons: dict[Key, str], mutants: Iterable[Mutant], paths: Iterable[str]) -> list[Key]:
    """Return what is listed of ``paths`` and isn't among their ``mutants``."""
    existing, looked_at = {mutant.key for mutant in mutants}, {*paths}
    return [key for key in reasons if key[0] in looked_at and key not in existing]
