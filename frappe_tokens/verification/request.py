"""What the decision reads from a request, and stores on it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from .. import addresses, credentials, policy
from ..conf import conf
from ..credentials import Credential
from ..exceptions import Refused
from ..types import AnyRequest
from . import browsers, scopes

DEFAULT_SOURCE = "User"

_OUTCOME = "_frappe_tokens_outcome"


class Outcome(NamedTuple):
    """The decision about a request.

    Attributes:
        key: the API key whose secret was correct, or the access token, if any.
        refused: why the request was refused; None if it wasn't.
    """

    key: Any
    refused: Refused | None = None


def set_outcome(request: AnyRequest, outcome: Outcome) -> None:
    """Store ``outcome`` on Django's ``request``, for the request log."""
    setattr(request, _OUTCOME, outcome)


def get_outcome(request: AnyRequest) -> Outcome | None:
    """Return the last outcome for Django's ``request``; None if its header wasn't checked here."""
    outcome: Outcome | None = getattr(request, _OUTCOME, None)
    return outcome


class RequestInfo:
    """What the decision reads from a request besides its credential.

    Args:
        request: Django's request, the one that DRF wraps around it, or an object that resembles it.
        view: the view that will answer. A scoped key must hold its ``required_scopes``: a list, a
            string of words, or a dictionary of these by the action of a viewset or by the method
            in lower case. None, or a view that declares none, is closed to scoped keys.
        for_people: whether the view is a page for people in browsers.
        is_websocket: whether the request starts a WebSocket.

    Attributes:
        may_wait: whether the decision may wait, for a database for example. If not, it raises
            :class:`~frappe_tokens.waiting.MustWait` instead, and has had no effect so far.
    """

    __slots__ = ("_given", "_is_websocket", "_meta", "_view", "for_people", "may_wait", "request")

    def __init__(
        self,
        request: AnyRequest,
        view: Any = None,
        *,
        for_people: bool = False,
        is_websocket: bool = False,
    ) -> None:
        # An attribute of DRF's wrapper takes as long as parsing a whole header.
        self.request: Any = getattr(request, "_request", request)
        self._given = request
        self._meta: Mapping[str, Any] = self.request.META
        self._view = view
        self.for_people = for_people
        self.may_wait = True
        self._is_websocket = is_websocket

    @property
    def methods(self) -> tuple[str, str]:
        """The method that was sent, and the current one, which a middleware may have overridden."""
        # An override must not allow more than the method that was sent.
        return self._meta.get("REQUEST_METHOD", "").upper(), self._given.method or ""

    @property
    def is_forgeable(self) -> bool:
        """Whether another site may have made a browser send it, and can gain from that."""
        # It gains nothing from a safe method, because it can't read the response.
        is_safe = not self._is_websocket and policy.are_safe(self.methods)
        return not is_safe and browsers.from_another_site(self.request)

    @property
    def source(self) -> str:
        """The value of ``Frappe-Authorization-Source``, by default "User"."""
        source: str = self._meta.get("HTTP_FRAPPE_AUTHORIZATION_SOURCE", DEFAULT_SOURCE)
        return source

    @property
    def source_name(self) -> str:
        """The source for logs: "" if it isn't in ``SOURCES``. The header may hold anything."""
        return self.source if self.source in conf.SOURCES else ""

    def view_has(self, flag: str) -> bool:
        """Whether the view sets ``flag``, as some of ours do: to be open to every credential."""
        return getattr(getattr(self._view, "view_class", self._view), flag, False) is True

    @property
    def required_scopes(self) -> tuple[str, ...]:
        return scopes.view_scopes(self._view, self._given.method or "")

    def described(self) -> dict[str, str]:
        """Return the arguments for signals: no header, query string or body."""
        return {
            "address": self.address(),
            "method": self.methods[0],
            "path": str(getattr(self.request, "path", "")),
        }

    def address(self) -> str:
        """Return the client's address, "" if unknown."""
        header = conf.CLIENT_ADDRESS_HEADER
        value = self._meta.get(_meta_name(header))
        # Without the header, nothing depends on the number of proxies.
        num_proxies = conf.NUM_PROXIES if value is not None else None
        remote_addr = self._meta.get("REMOTE_ADDR", "")
        return addresses.client_address(remote_addr, header, value, num_proxies)


def parse_header(request: AnyRequest, schemes: Iterable[str]) -> Credential | None:
    """Return the credential in the ``Authorization`` header for one of ``schemes``, if any."""
    # Debug pages show variables, so neither the header nor META is in one.
    return credentials.parse(
        getattr(request, "_request", request).META.get("HTTP_AUTHORIZATION"), *schemes
    )


@lru_cache(maxsize=4)
def _meta_name(header: str) -> str:
    return f"HTTP_{header.upper().replace('-', '_')}"
