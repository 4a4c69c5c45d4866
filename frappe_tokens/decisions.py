"""What was decided about a request, noted on the request for whoever logs it."""

from __future__ import annotations

from typing import Any, NamedTuple

from .exceptions import Refused

_ATTRIBUTE = "_frappe_tokens_decision"


class Decision(NamedTuple):
    """The outcome for one request.

    Attributes:
        key: the key (an ``AbstractApiKey``) whose secret was right; None where none was.
        refused: why the request must not go on; None where it may.
    """

    key: Any = None
    refused: Refused | None = None


def note(request: Any, decision: Decision) -> None:
    """Leave ``decision`` on Django's request, or on the one that DRF's wraps."""
    setattr(getattr(request, "_request", request), _ATTRIBUTE, decision)


def decision_about(request: Any) -> Decision | None:
    """What was last decided about Django's ``request``; None where its header was not for us."""
    decision: Decision | None = getattr(request, _ATTRIBUTE, None)
    return decision
