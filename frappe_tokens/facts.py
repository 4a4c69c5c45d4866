"""What the decision asks of a request besides its credential."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import browsers, decisions, policy
from .conf import conf
from .decisions import Decision

DEFAULT_SOURCE = "User"


class RequestFacts:
    """What the decision asks of a request besides its credential, looked up where it asks.

    Args:
        request: Django's, or what wraps it.
        view: what is to answer. Its ``required_scopes``, a list or words in a string, are those
            that a scoped key has to hold; a dictionary has them by the action of a viewset, or by
            the method in lower case. None and a view without any declare none.
        for_people: what is to answer is a page for people in browsers.
        is_websocket: the request begins a WebSocket.
    """

    __slots__ = ("_is_websocket", "_meta", "_request", "_view", "for_people")

    def __init__(
        self,
        request: Any,
        view: Any = None,
        *,
        for_people: bool = False,
        is_websocket: bool = False,
    ) -> None:
        self._request = request
        self._meta = meta_of(request)
        self._view = view
        self.for_people = for_people
        self._is_websocket = is_websocket

    @property
    def request(self) -> Any:
        """Django's request, or what is like one."""
        return getattr(self._request, "_request", self._request)

    @property
    def methods(self) -> tuple[str, str]:
        """The method that was sent, and what it is now."""
        # Both, so that no method override, of whichever middleware, opens more than was sent.
        return self._meta.get("REQUEST_METHOD", "").upper(), self._request.method or ""

    @property
    def is_forgeable(self) -> bool:
        """Whether another site may have made a browser send it, and gains something by that.

        By a safe method it gains nothing, as it cannot read the answer. A WebSocket it can read.
        """
        if not browsers.from_another_site(self.request):
            return False
        return self._is_websocket or not policy.method_allowed(True, self.methods)

    @property
    def source(self) -> str | None:
        """The value of ``Frappe-Authorization-Source``."""
        source: str | None = self._meta.get("HTTP_FRAPPE_AUTHORIZATION_SOURCE")
        return source

    @property
    def source_name(self) -> str:
        """The same for logs: "User" for none, and "" for what is not among ``SOURCES``."""
        source = self.source
        named = DEFAULT_SOURCE if source is None else source
        # Only a name of the project's own: the header may hold anything.
        return named if named in conf.snapshot().SOURCES else ""

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """The scopes that the view declares."""
        return policy.required_scopes(self._view, self._request.method or "")

    def described(self) -> dict[str, str]:
        """What the receivers of a signal may know: nothing of the header, the query or the body."""
        return {
            "address": self.address(),
            "method": self.methods[0],
            "path": str(getattr(self._request, "path", "")),
        }

    def note(self, decision: Decision) -> None:
        """Leave what was decided on the request, for the request log."""
        decisions.note(self._request, decision)

    def address(self) -> str:
        """The client's address, "" if unknown."""
        return policy.client_address(
            self._meta.get("REMOTE_ADDR", ""),
            self._meta.get("HTTP_X_FORWARDED_FOR", ""),
            conf.NUM_PROXIES,
        )


def meta_of(request: Any) -> Mapping[str, Any]:
    """The ``META`` of Django's request, or of the one that wraps it.

    DRF's wrapper takes as long to hand on an attribute as a whole header takes to parse.
    """
    meta: Mapping[str, Any] = getattr(request, "_request", request).META
    return meta
