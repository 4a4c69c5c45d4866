"""The only decision whether a request with a credential goes on, and as which key.

It decides and deletes nothing. Whoever asks translates :class:`~frappe_tokens.exceptions.Refused`
into an answer.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from django.db import DataError, InterfaceError, OperationalError
from django.utils import timezone

from . import crypto, limiter, lookup, policy
from .base_models import AbstractApiKey
from .conf import Settings, conf
from .credentials import Credential
from .exceptions import Reason, Refused
from .lookup import Found
from .signals import authentication_failed, authentication_succeeded

logger = logging.getLogger(__name__)

DEFAULT_SOURCE = "User"

# What a client that tries again and again fails with. A malformed credential costs nothing.
_COUNTED = frozenset(
    {
        Reason.INVALID_CREDENTIALS,
        Reason.KEY_REVOKED,
        Reason.KEY_EXPIRED,
        Reason.USER_INACTIVE,
    }
)


class RequestFacts:
    """What the decision asks of a request besides its credential, looked up where it asks.

    Args:
        request: Django's, or what wraps it.
        view: what is to answer. Its ``required_scopes``, a list or words in a string, are those
            that a scoped key has to hold; a dictionary has them by the action of a viewset, or by
            the method in lower case. None and a view without any declare none.
    """

    __slots__ = ("_meta", "_request", "_view")

    def __init__(self, request: Any, view: Any = None) -> None:
        self._request = request
        self._meta = meta_of(request)
        self._view = view

    @property
    def methods(self) -> tuple[str, str]:
        """The method that was sent, and what it is now."""
        # Both, so that no method override, of whichever middleware, opens more than was sent.
        return self._meta.get("REQUEST_METHOD", "").upper(), self._request.method or ""

    @property
    def source(self) -> str | None:
        """The value of ``Frappe-Authorization-Source``."""
        source: str | None = self._meta.get("HTTP_FRAPPE_AUTHORIZATION_SOURCE")
        return source

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


def verify(credential: Credential, facts: RequestFacts) -> AbstractApiKey:
    """Accept or refuse a request, in the order that the documentation of refusals gives.

    Args:
        credential: what :func:`frappe_tokens.credentials.parse` found.
        facts: the rest of the request.

    Returns:
        The key, its ``user`` loaded. One SELECT, or none where the cache has it.

    Raises:
        Refused: with the reason. Why a right secret was refused is told only once it matched.
    """
    present = conf.snapshot()
    try:
        model = _check_before_lookup(credential, facts, present)
        found = _find(model, credential, present)
        now = timezone.now()
        found, slot = _check_secret(found, credential, now)
        _check_policies(found.key, facts, now)
    except Refused as refused:
        raise report_failure(_counted(refused, facts), facts) from refused.__cause__
    lookup.record_use(
        found,
        now=now,
        address=facts.address,
        secret=credential.api_secret,
        slot=slot,
        present=present,
    )
    if authentication_succeeded.receivers:
        authentication_succeeded.send_robust(
            sender=type(found.key), instance=found.key, **facts.described()
        )
    return found.key


def report_failure(refused: Refused, facts: RequestFacts) -> Refused:
    """Tell the receivers of ``authentication_failed``, and give back what was refused."""
    if authentication_failed.receivers:
        authentication_failed.send_robust(
            sender=None, code=refused.reason.code, api_key=refused.api_key, **facts.described()
        )
    return refused


def _counted(refused: Refused, facts: RequestFacts) -> Refused:
    """``refused``, or what is said instead to an address that has failed too often."""
    if refused.reason in _COUNTED:
        try:
            limiter.count(facts.address(), refused.api_key)
        except Refused as too_many:
            return too_many
    return refused


def _find(model: type[AbstractApiKey], credential: Credential, present: Settings) -> Found | None:
    try:
        return lookup.find(model, credential.api_key, present)
    except (OperationalError, InterfaceError, DataError) as error:
        logger.exception("Credentials cannot be checked: the database does not answer.")
        raise Refused(Reason.SERVICE_UNAVAILABLE, api_key=credential.api_key) from error


def _check_before_lookup(
    credential: Credential, facts: RequestFacts, present: Settings
) -> type[AbstractApiKey]:
    if not credential.well_formed:
        raise Refused(Reason.MALFORMED_CREDENTIALS)
    if limiter.is_active():
        limiter.check(facts.address(), credential.api_key)
    source = facts.source
    model = lookup.source_model(DEFAULT_SOURCE if source is None else source, present)
    if model is None:
        raise Refused(Reason.INVALID_CREDENTIALS, api_key=credential.api_key)
    return model


def _check_secret(found: Found | None, credential: Credential, now: datetime) -> tuple[Found, str]:
    """The key and the name of the field whose digest the secret matches."""
    key = found.key if found is not None else None
    in_grace = key is not None and not policy.has_ended(key.previous_expires_at, now)
    current, previous = crypto.matches_which(
        credential.api_secret,
        key.secret_digest if key is not None else "",
        key.previous_digest if key is not None and in_grace else "",
    )
    if found is None or not (current or previous):
        raise Refused(Reason.INVALID_CREDENTIALS, api_key=credential.api_key)
    return found, "secret_digest" if current else "previous_digest"


def _check_policies(key: AbstractApiKey, facts: RequestFacts, now: datetime) -> None:
    if key.is_revoked:
        raise Refused(Reason.KEY_REVOKED, api_key=key.api_key)
    if key.is_expired(now):
        raise Refused(Reason.KEY_EXPIRED, api_key=key.api_key)
    user = key.user
    if user is None or not user.is_active:
        raise Refused(Reason.USER_INACTIVE, api_key=key.api_key)
    if key.allowed_ips and not policy.address_allowed(key.allowed_ips, facts.address()):
        raise Refused(Reason.IP_NOT_ALLOWED, api_key=key.api_key)
    if key.read_only and not policy.method_allowed(key.read_only, facts.methods):
        raise Refused(Reason.KEY_READ_ONLY, api_key=key.api_key)
    if key.scopes and not policy.scopes_open(key.scopes, facts.required_scopes):
        raise Refused(
            Reason.INSUFFICIENT_SCOPE, api_key=key.api_key, required_scopes=facts.required_scopes
        )
