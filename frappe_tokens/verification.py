"""The only decision whether a request with a credential goes on, and as which key or access token.

It decides and deletes nothing. Whoever asks translates :class:`~frappe_tokens.exceptions.Refused`
into an answer.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from datetime import datetime
from typing import Any

from django.db import DataError, InterfaceError, OperationalError
from django.utils import timezone

from . import access_tokens, audit, crypto, limiter, lookup, policy, scopes, threads
from .access_tokens import FoundToken
from .base_models import AbstractApiKey
from .conf import Settings, conf
from .credentials import API_KEY_MAX_LENGTH, Credential
from .crypto import Secret
from .decisions import Decision
from .exceptions import Reason, Refused
from .facts import DEFAULT_SOURCE, RequestFacts, meta_of
from .lookup import Found
from .redaction import redacted
from .signals import authentication_failed, authentication_succeeded

__all__ = [
    "DEFAULT_SOURCE",
    "RequestFacts",
    "averify",
    "meta_of",
    "report_failure",
    "unclaimed",
    "verify",
]

logger = logging.getLogger(__name__)

# What a client that tries again and again fails with. A malformed credential costs nothing.
_COUNTED = frozenset(
    {
        Reason.INVALID_CREDENTIALS,
        Reason.KEY_REVOKED,
        Reason.KEY_EXPIRED,
        Reason.USER_INACTIVE,
    }
)


def verify(credential: Credential, facts: RequestFacts, *, leave_unknown: bool = False) -> Any:
    """Accept or refuse a request, in the order that the documentation of refusals gives.

    Args:
        credential: what :func:`frappe_tokens.credentials.parse` found.
        facts: the rest of the request.
        leave_unknown: somebody else may know an access token that nobody here has issued.

    Returns:
        What becomes ``request.auth``: the key, or the OAuth 2 access token; its ``user``, as whom
        the request runs, is loaded. One SELECT, or none where the cache has the key. None only for
        an access token that is left.

    Raises:
        Refused: with the reason. Why a right secret was refused is told only once it matched.
    """
    if credential.access_token:
        if access_tokens.are_known():
            return _verify_access_token(credential.access_token, facts, leave_unknown)
        if leave_unknown:
            return None
    if not credential.well_formed:
        # First of all, and at once: whoever sends nonsense is to cost next to nothing.
        raise report_failure(Refused(Reason.MALFORMED_CREDENTIALS), facts)
    present = conf.snapshot()
    matched: AbstractApiKey | None = None
    found: Found | None = None
    try:
        model = _check_before_lookup(credential, facts, present)
        found = _find(model, credential, present)
        now = timezone.now()
        found, slot = _check_secret(found, credential, now)
        matched = found.key
        _check_policies(matched, facts, now)
        # Of our schemes, browsers add only this one by themselves.
        if credential.scheme == "basic" and facts.is_forgeable:
            raise Refused(Reason.CROSS_SITE_REQUEST, api_key=matched.api_key)
        _check_page(matched, facts)
        if matched.scopes:
            _check_scopes(matched, facts)
    except Refused as refused:
        counted = _counted(refused, facts, credential.api_key, credential.api_secret)
        if found is None:
            # No key is known to be meant, and it may be a secret in the wrong place.
            counted.api_key = redacted(counted.api_key, API_KEY_MAX_LENGTH)
        raise report_failure(counted, facts, matched) from refused.__cause__
    facts.note(Decision(matched))
    lookup.record_use(
        found,
        now=now,
        address=facts.address,
        secret=credential.api_secret,
        slot=slot,
        present=present,
    )
    if slot == "previous_digest":
        matched.authenticated_by_old_secret = True
    if authentication_succeeded.receivers:
        authentication_succeeded.send_robust(
            sender=type(found.key), instance=found.key, **facts.described()
        )
    return found.key


def _verify_access_token(token: Secret, facts: RequestFacts, leave_unknown: bool) -> Any:
    """:func:`verify` for what may be an access token of a server that is installed here."""
    found: FoundToken | None = None
    label = access_tokens.label(token)
    try:
        if leave_unknown:
            # Before the limiter, which has no say about what is somebody else's.
            found = _find_access_token(token, facts, ask_anyway=True)
            if found is None:
                return None
        if limiter.is_active():
            limiter.check(facts.address(), label, source=facts.source)
        if found is None:
            found = _find_access_token(token, facts)
        if found is None or not found.is_valid_here:
            raise Refused(Reason.INVALID_CREDENTIALS)
        _check_policies(found, facts, timezone.now())
        _check_page(found, facts)
        _check_scopes(found.instance, facts)
    except Refused as refused:
        told = _of_access_token(_counted(refused, facts, label))
        raise report_failure(told, facts, found) from refused.__cause__
    facts.note(Decision(found))
    if authentication_succeeded.receivers:
        authentication_succeeded.send_robust(
            sender=type(found.instance), instance=found.instance, **facts.described()
        )
    return found.instance


async def averify(credential: Credential, facts: RequestFacts) -> Any:
    """:func:`verify` for async code: in a thread, a bounded number of them at a time.

    Django's async ORM goes to a thread for each query as well; here it is one for all of it, cache
    and counters included, which wait for the network just so.

    Args and raises: as :func:`verify`.
    """
    return await threads.in_thread(verify, credential, facts)


def unclaimed(credential: Credential, facts: RequestFacts) -> Refused:
    """What to refuse a credential with that was left to others, none of whom claimed it."""
    if not (credential.access_token and access_tokens.are_known()):
        return report_failure(Refused(Reason.MALFORMED_CREDENTIALS), facts)
    refused = Refused(Reason.INVALID_CREDENTIALS)
    label = access_tokens.label(credential.access_token)
    return report_failure(_of_access_token(_counted(refused, facts, label)), facts)


def report_failure(
    refused: Refused, facts: RequestFacts, key: AbstractApiKey | FoundToken | None = None
) -> Refused:
    """Tell everyone who is told of refusals, and give back what was refused.

    Args:
        refused: the reason.
        facts: the request.
        key: the key whose secret was right, or the access token, if any.
    """
    facts.note(Decision(key, refused))
    if audit.is_heard():
        audit.refused(refused, key, facts.source_name, facts.described())
    if authentication_failed.receivers:
        authentication_failed.send_robust(
            sender=None, code=refused.reason.code, api_key=refused.api_key, **facts.described()
        )
    return refused


def _counted(refused: Refused, facts: RequestFacts, label: str, api_secret: str = "") -> Refused:
    """``refused``, or what is said instead to an address that has failed too often with this."""
    if refused.reason in _COUNTED:
        try:
            limiter.count(facts.address(), label, api_secret, facts.source)
        except Refused as too_many:
            return too_many
    return refused


def _find(model: type[AbstractApiKey], credential: Credential, present: Settings) -> Found | None:
    try:
        return lookup.find(model, credential.api_key, present)
    except (OperationalError, InterfaceError, DataError) as error:
        logger.exception("Credentials cannot be checked: the database does not answer.")
        raise Refused(Reason.SERVICE_UNAVAILABLE, api_key=credential.api_key) from error


def _of_access_token(refused: Refused) -> Refused:
    """The same, told in the words for access tokens, and without what it was counted by."""
    return Refused(
        refused.reason,
        required_scopes=refused.required_scopes,
        retry_after=refused.retry_after,
        access_token=True,
    )


def _find_access_token(
    token: Secret, facts: RequestFacts, *, ask_anyway: bool = False
) -> FoundToken | None:
    # A source has keys, and no access tokens.
    has_none = facts.source not in (None, DEFAULT_SOURCE)
    if has_none and not ask_anyway:
        return None
    try:
        found = access_tokens.find(token, facts.request)
    except (OperationalError, InterfaceError, DataError) as error:
        logger.exception("Access tokens cannot be checked: the database does not answer.")
        raise Refused(Reason.SERVICE_UNAVAILABLE) from error
    if found is not None and has_none:
        # Left to the server's own class behind ours, it would be taken without our checks.
        return replace(found, is_valid_here=False)
    return found


def _check_before_lookup(
    credential: Credential, facts: RequestFacts, present: Settings
) -> type[AbstractApiKey]:
    source = facts.source
    if limiter.is_active():
        limiter.check(facts.address(), credential.api_key, credential.api_secret, source)
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


def _check_policies(key: AbstractApiKey | FoundToken, facts: RequestFacts, now: datetime) -> None:
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


def _check_page(key: AbstractApiKey | FoundToken, facts: RequestFacts) -> None:
    if facts.for_people and not conf.PAGES_ACCEPT_CREDENTIALS:
        raise Refused(Reason.SESSION_REQUIRED, api_key=key.api_key)


def _check_scopes(credential: Any, facts: RequestFacts) -> None:
    required = facts.required_scopes
    if not scopes.opens(credential, required):
        api_key = getattr(credential, "api_key", "")
        raise Refused(Reason.INSUFFICIENT_SCOPE, api_key=api_key, required_scopes=required)
