"""The decision whether a request with a credential is accepted. There is no other.

It deletes nothing and writes no response. Callers translate
:class:`~frappe_tokens.exceptions.Refused` into a response.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from datetime import datetime
from typing import Any, Protocol

from django.db import DataError, InterfaceError, OperationalError
from django.utils import timezone

from .. import addresses, audit, crypto, lookup, policy
from ..base_models import AbstractApiKey
from ..conf import conf
from ..credentials import API_KEY_MAX_LENGTH, Credential
from ..crypto import Secret
from ..exceptions import Reason, Refused
from ..lookup import Found
from ..redaction import redacted
from ..signals import authentication_failed, authentication_succeeded
from . import access_tokens, limiter, threads
from .access_tokens import AccessToken
from .request import DEFAULT_SOURCE, Outcome, RequestInfo

logger = logging.getLogger("frappe_tokens.verification")

# What a misconfigured client repeats endlessly. A malformed credential costs nothing.
_COUNTED = frozenset(
    {
        Reason.INVALID_CREDENTIALS,
        Reason.KEY_REVOKED,
        Reason.KEY_EXPIRED,
        Reason.USER_INACTIVE,
    }
)


class Verifiable(Protocol):
    """What the decision reads of an API key or an access token once its secret is correct."""

    @property
    def auth(self) -> Any:
        """What becomes ``request.auth``; its ``user`` is loaded."""

    @property
    def user(self) -> Any: ...

    @property
    def api_key(self) -> str: ...

    @property
    def allowed_ips(self) -> Collection[str]: ...

    @property
    def read_only(self) -> bool: ...

    @property
    def is_revoked(self) -> bool: ...

    def is_expired(self, now: datetime) -> bool: ...

    @property
    def is_scoped(self) -> bool:
        """Whether it opens only some views."""

    def opens(self, required: Collection[str]) -> bool:
        """Whether it opens a view that declares the scopes ``required``."""


class _PresentedKey:
    """An API key and its secret, as a request presents them."""

    def __init__(self, credential: Credential) -> None:
        self.label = credential.api_key
        self.secret = credential.api_secret
        self.from_browser = credential.scheme == "basic"
        self._found: Found | None = None
        self._slot = ""

    def look_up(self, info: RequestInfo) -> bool:
        """Look the key up. Return whether there is such a key.

        Raises:
            Refused: there is no such source, or the database doesn't answer.
        """
        model = lookup.source_model(DEFAULT_SOURCE if info.source is None else info.source)
        if model is None:
            raise self._invalid()
        try:
            self._found = lookup.find(model, self.label)
        except (OperationalError, InterfaceError, DataError) as error:
            raise _database_away("Credentials", self.label) from error
        return self._found is not None

    def matched(self, now: datetime) -> AbstractApiKey:
        """Return the key if the secret is correct.

        Raises:
            Refused: there is no such key, or the secret is wrong. Both take the same work.
        """
        key = self._found.key if self._found is not None else None
        in_grace = key is not None and not policy.has_ended(key.previous_expires_at, now)
        current, previous = crypto.matches_which(
            self.secret,
            key.secret_digest if key is not None else "",
            key.previous_digest if key is not None and in_grace else "",
        )
        if key is None or not (current or previous):
            raise self._invalid()
        self._slot = "secret_digest" if current else "previous_digest"
        return key

    def refusal(self, refused: Refused) -> Refused:
        """Return ``refused`` as it may be reported."""
        if self._found is None:
            # The "key" is unknown, and may be a secret in the wrong place.
            refused.api_key = redacted(refused.api_key, API_KEY_MAX_LENGTH)
        return refused

    def record_use(self, info: RequestInfo, now: datetime) -> None:
        if self._found is None:
            return
        lookup.record_use(
            self._found, now=now, address=info.address, secret=self.secret, slot=self._slot
        )
        if self._slot == "previous_digest":
            self._found.key.authenticated_by_old_secret = True

    def _invalid(self) -> Refused:
        return Refused(Reason.INVALID_CREDENTIALS, api_key=self.label)


class _PresentedToken:
    """What may be an access token of an installed OAuth 2 server."""

    secret = Secret()
    from_browser = False

    def __init__(self, token: Secret, *, may_be_foreign: bool = False) -> None:
        # The label stands for the whole token.
        self.label = access_tokens.label(token)
        self._token = token
        self._may_be_foreign = may_be_foreign
        self._found: AccessToken | None = None

    def look_up(self, info: RequestInfo) -> bool:
        """Look the token up. Return whether an installed server issued it.

        Raises:
            Refused: the database doesn't answer.
        """
        # A source has keys, and no access tokens.
        names_source = info.source not in (None, DEFAULT_SOURCE)
        if names_source and not self._may_be_foreign:
            return False
        try:
            self._found = access_tokens.find(self._token, info.request)
        except (OperationalError, InterfaceError, DataError) as error:
            raise _database_away("Access tokens") from error
        if self._found is not None and names_source:
            # If this were left to the server's own class, none of our checks would run.
            self._found = replace(self._found, is_valid_here=False)
        return self._found is not None

    def matched(self, now: datetime) -> AccessToken:
        """Return the token if it is valid here.

        Raises:
            Refused: nobody issued it, or it is for another service.
        """
        if self._found is None or not self._found.is_valid_here:
            raise Refused(Reason.INVALID_CREDENTIALS)
        return self._found

    def refusal(self, refused: Refused) -> Refused:
        """Return ``refused`` in the words for access tokens, without what it was counted by."""
        return Refused(
            refused.reason,
            required_scopes=refused.required_scopes,
            retry_after=refused.retry_after,
            access_token=True,
        )

    def record_use(self, info: RequestInfo, now: datetime) -> None:
        """The server keeps its own records."""


def verify(credential: Credential, info: RequestInfo, *, leave_unknown: bool = False) -> Any:
    """Accept or refuse a request, in the order that the documentation of refusals gives.

    Args:
        credential: from :func:`frappe_tokens.credentials.parse`.
        info: the rest of the request.
        leave_unknown: return None for an access token that no installed server issued, because
            another authentication class may know it.

    Returns:
        What becomes ``request.auth``: the API key, or the OAuth 2 access token. Its ``user``, as
        whom the request runs, is loaded. This takes one SELECT, or none if the key is cached.

    Raises:
        Refused: with the reason. A correct secret is a condition for any reason but
            ``invalid_credentials``.
    """
    presented: _PresentedKey | _PresentedToken
    # An unknown access token may belong to another server, which the failure limit doesn't concern.
    may_be_foreign = leave_unknown and bool(credential.access_token)
    if credential.access_token and access_tokens.are_known():
        presented = _PresentedToken(credential.access_token, may_be_foreign=may_be_foreign)
    elif may_be_foreign:
        return None
    elif not credential.well_formed:
        # Before anything else, because nonsense must cost next to nothing.
        raise report_failure(Refused(Reason.MALFORMED_CREDENTIALS), info)
    else:
        presented = _PresentedKey(credential)
    found: Verifiable | None = None
    try:
        if may_be_foreign and not presented.look_up(info):
            return None
        if limiter.is_active():
            limiter.check(info.address(), presented.label, presented.secret, info.source)
        if not may_be_foreign:
            presented.look_up(info)
        now = timezone.now()
        found = presented.matched(now)
        _check_policies(found, info, now)
        # Of our schemes, browsers send only Basic without being told to by a page's script.
        if presented.from_browser and info.is_forgeable:
            raise Refused(Reason.CROSS_SITE_REQUEST, api_key=found.api_key)
        _check_view(found, info)
    except Refused as refused:
        counted = _counted(refused, info, presented.label, presented.secret)
        raise report_failure(presented.refusal(counted), info, found) from refused.__cause__
    auth = found.auth
    info.set_outcome(Outcome(found))
    presented.record_use(info, now)
    if authentication_succeeded.receivers:
        authentication_succeeded.send_robust(sender=type(auth), instance=auth, **info.described())
    return auth


async def averify(credential: Credential, info: RequestInfo) -> Any:
    """Do what :func:`verify` does, from async code: in a thread, of which there are few.

    Django's async ORM uses a thread for each query. This uses one for the queries, the cache and
    the counters together.

    Args and raises: as for :func:`verify`.
    """
    return await threads.run_in_thread(verify, credential, info)


def unclaimed(credential: Credential, info: RequestInfo) -> Refused:
    """Return the refusal of a credential that was left to other classes, none of which took it."""
    if not (credential.access_token and access_tokens.are_known()):
        return report_failure(Refused(Reason.MALFORMED_CREDENTIALS), info)
    presented = _PresentedToken(credential.access_token)
    refused = _counted(Refused(Reason.INVALID_CREDENTIALS), info, presented.label)
    return report_failure(presented.refusal(refused), info)


def report_failure(refused: Refused, info: RequestInfo, found: Verifiable | None = None) -> Refused:
    """Report a refusal to the request log, the audit log and the signal's receivers.

    Args:
        refused: the reason.
        info: the request.
        found: the key whose secret was correct, or the access token, if any.

    Returns:
        ``refused``.
    """
    info.set_outcome(Outcome(found, refused))
    if audit.is_heard():
        audit.refused(refused, found, info.source_name, info.described())
    if authentication_failed.receivers:
        authentication_failed.send_robust(
            sender=None, code=refused.reason.code, api_key=refused.api_key, **info.described()
        )
    return refused


def _counted(refused: Refused, info: RequestInfo, label: str, api_secret: str = "") -> Refused:
    """Count a failure. Return ``refused``, or what replaces it after too many of them."""
    if refused.reason in _COUNTED:
        try:
            limiter.count(info.address(), label, api_secret, info.source)
        except Refused as too_many:
            return too_many
    return refused


def _check_policies(found: Verifiable, info: RequestInfo, now: datetime) -> None:
    if found.is_revoked:
        raise Refused(Reason.KEY_REVOKED, api_key=found.api_key)
    if found.is_expired(now):
        raise Refused(Reason.KEY_EXPIRED, api_key=found.api_key)
    user = found.user
    if user is None or not user.is_active:
        raise Refused(Reason.USER_INACTIVE, api_key=found.api_key)
    if found.allowed_ips and not addresses.is_allowed(found.allowed_ips, info.address()):
        raise Refused(Reason.IP_NOT_ALLOWED, api_key=found.api_key)
    if found.read_only and not policy.method_allowed(found.read_only, info.methods):
        raise Refused(Reason.KEY_READ_ONLY, api_key=found.api_key)


def _check_view(found: Verifiable, info: RequestInfo) -> None:
    if info.for_people and not conf.PAGES_ACCEPT_CREDENTIALS:
        raise Refused(Reason.SESSION_REQUIRED, api_key=found.api_key)
    if not found.is_scoped:
        return
    required = info.required_scopes
    if not found.opens(required):
        raise Refused(Reason.INSUFFICIENT_SCOPE, api_key=found.api_key, required_scopes=required)


def _database_away(what: str, api_key: str = "") -> Refused:
    logger.exception("%s can't be checked: the database doesn't answer.", what)
    return Refused(Reason.SERVICE_UNAVAILABLE, api_key=api_key)
