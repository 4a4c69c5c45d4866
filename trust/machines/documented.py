"""What the documentation shows for several machines, as settings for those that we started."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PAGE = Path(__file__).parent.parent.parent / "docs" / "how-to" / "run-on-many-machines.md"

Address = Sequence[Any]  # a host and a port


def _executed(contains: str) -> dict[str, Any]:
    (block,) = [
        block
        for block in re.findall(r"^```python\n(# .*?)^```", PAGE.read_text(), re.M | re.S)
        if contains in block
    ]
    module: dict[str, Any] = {"__name__": __name__}
    exec(block, module)  # noqa: S102 - our own documentation
    return module


ReplicaRouter: Any = _executed("class ReplicaRouter")["ReplicaRouter"]


def databases(servers: Sequence[Address]) -> dict[str, Any]:
    """Return ``DATABASES`` for these servers, the first of which is the primary."""
    found: dict[str, Any] = _executed("target_session_attrs")["DATABASES"]
    for database in found.values():
        database["HOST"] = ",".join(host for host, _port in servers)
        database["PORT"] = ",".join(str(port) for _host, port in servers)
    return found


def caches(sentinels: Sequence[Address]) -> dict[str, Any]:
    """Return ``CACHES`` for these sentinels."""
    found: dict[str, Any] = _executed("SENTINELS")["CACHES"]
    found["default"]["OPTIONS"]["SENTINELS"] = [tuple(sentinel) for sentinel in sentinels]
    return found
