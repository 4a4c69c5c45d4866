"""What the decision reads of a request, and what it leaves on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from .. import addresses, policy
from ..conf import conf
from ..exceptions import Refused
from ..types import AnyRequest
from . import browsers

DEFAULT_SOURCE = "User"

_OUTCOME = "_frappe_tokens_outcome"


class Outcome(NamedTuple):
    """What was decided about a request.

    Attributes:
        key: the API key whose secret was correct, or the access token; None if there was neither.
        refused: why the request was refused; None if it was accepted.
    """

    key: Any = None
    refused: Refused | None = None


def set_outcome(request: AnyRequest, outcome: Outcome) -> None:
    """Store ``outcome`` on Django's request, also when given the one that DRF wraps around it."""
    setattr(getattr(request, "_request", request), _OUTCOME, outcome)


def get_outcome(request: AnyRequest) -> Outcome | None:
    """Return the last outcome for Django's ``request``; None if its header wasn't checked here."""
    outcome: Outcome | None = getattr(request, _OUTCOME, None)
    return outcome


class RequestInfo:
    """What the decision reads of a request besides its credential.

    Args:
        request: Django's request, or one that wraps it.
        view: the view that will answer. A scoped key must hold its ``required_scopes``: a list, a
            string of words, or a dictionary of these by the action of a viewset or by the method
            in lower case. None, or a view that declares none, is closed to scoped keys.
        for_people: whether the view is a page for people in browsers.
        is_websocket: whether the request starts a WebSocket.
    """

    __slots__ = ("_is_websocket", "_meta", "_request", "_view", "for_people")

    def __init__(
        self,
        request: AnyRequest,
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
        """Django's request, or an object that resembles it."""
        return getattr(self._request, "_request", self._request)

    @property
    def methods(self) -> tuple[str, str]:
        """The method that was sent, and the current one."""
        # Both, so that no middleware that overrides the method opens more than was sent.
        return self._meta.get("REQUEST_METHOD", "").upper(), self._request.method or ""

    @property
    def is_forgeable(self) -> bool:
        """Whether another site may have made a browser send it, to that site's benefit.

        A safe method is of no use to it, because it can't read the response. A WebSocket is.
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
        """The source for logs: "User" without the header, "" for a name not in ``SOURCES``."""
        source = self.source
        name = DEFAULT_SOURCE if source is None else source
        # Only names from the settings: the header may hold anything.
        return name if name in conf.SOURCES else ""

    @property
    def required_scopes(self) -> tuple[str, ...]:
        """The scopes that the view declares."""
        return policy.required_scopes(self._view, self._request.method or "")

    def described(self) -> dict[str, str]:
        """Return what receivers of signals may know: no header, query string or body."""
        return {
            "address": self.address(),
            "method": self.methods[0],
            "path": str(getattr(self._request, "path", "")),
        }

    def set_outcome(self, outcome: Outcome) -> None:
        """Store ``outcome`` on the request, for the request log."""
        set_outcome(self._request, outcome)

    def address(self) -> str:
        """Return the client's address, "" if unknown."""
        return addresses.client_address(
            self._meta.get("REMOTE_ADDR", ""),
            self._meta.get("HTTP_X_FORWARDED_FOR", ""),
            conf.NUM_PROXIES,
        )


def meta_of(request: AnyRequest) -> Mapping[str, Any]:
    """Return the ``META`` of Django's request, or of the one that DRF wraps around it."""
    # An attribute of DRF's wrapper takes as long as parsing a whole header.
    meta: Mapping[str, Any] = getattr(request, "_request", request).META
    return meta
