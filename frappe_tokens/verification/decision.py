"""The decision whether a request with a credential is accepted. There is no other.

Callers translate :class:`~frappe_tokens.exceptions.Refused` into a response.
"""

from __future__ import annotations

import logging
from datetime import datetime
from typing import overload

from django.core.exceptions import SynchronousOnlyOperation
from django.db import DatabaseError, DataError, InterfaceError
from django.utils import timezone

from .. import addresses, audit, policy
from ..conf import conf
from ..credentials import Credential
from ..db import close_lost_connections, explain, is_outage, mark_broken_transactions
from ..exceptions import Reason, Refused
from ..logs import RateLimitedLogger
from ..signals import authentication_failed, authentication_succeeded
from ..waiting import MustWait
from . import access_tokens, limiter, threads
from .presented import Auth, PresentedKey, PresentedToken, Verifiable
from .request import Outcome, RequestInfo, get_outcome, set_outcome

_log_error = RateLimitedLogger(
    logging.getLogger("frappe_tokens.verification"), "Credentials can't be checked: %s"
)

# Refusals that cost a query, and that a misconfigured client repeats endlessly.
_COUNTED = {
    Reason.INVALID_CREDENTIALS,
    Reason.KEY_REVOKED,
    Reason.KEY_DISABLED,
    Reason.KEY_EXPIRED,
    Reason.USER_INACTIVE,
}


@overload
def verify(credential: Credential, info: RequestInfo) -> Auth: ...


@overload
def verify(credential: Credential, info: RequestInfo, *, leave_unknown: bool) -> Auth | None: ...


def verify(
    credential: Credential, info: RequestInfo, *, leave_unknown: bool = False
) -> Auth | None:
    """Accept or refuse a request, in the order of ``docs/reference/refusals.md``.

    Args:
        credential: from :func:`frappe_tokens.credentials.parse`.
        info: the rest of the request.
        leave_unknown: return None for an access token that no installed server issued. Another
            authentication class may know it.

    Returns:
        The value of ``request.auth``: the API key, or the OAuth 2 access token, with the ``user``
        that the request runs as. This takes one SELECT, or none if the key is cached.

    Raises:
        Refused: unless the secret is correct, the reason reveals nothing about the key.
        MustWait: not ``info.may_wait``. Nothing has been counted, recorded or reported.
    """
    presented: PresentedKey | PresentedToken
    # Another server's tokens must not count as failures.
    may_be_foreign = leave_unknown and bool(credential.access_token)
    if credential.access_token and access_tokens.are_known():
        presented = PresentedToken(credential, may_be_foreign=may_be_foreign)
    elif may_be_foreign:
        return None
    elif not credential.well_formed:
        # First, because nonsense must cost next to nothing.
        raise report_failure(_malformed(credential), info)
    else:
        presented = PresentedKey(credential)
    found: Verifiable | None = None
    try:
        if may_be_foreign and not _look_up(presented, info):
            return None
        if limiter.is_active():
            limiter.check(
                info.address(),
                presented.label,
                presented.secret,
                info.source,
                may_wait=info.may_wait,
            )
        if not may_be_foreign:
            _look_up(presented, info)
        now = timezone.now()
        found = presented.matched(info, now)
        if reason := _reason_against(found, info, now, presented.from_browser):
            required = info.required_scopes if reason is Reason.INSUFFICIENT_SCOPE else ()
            raise Refused(reason, api_key=found.api_key, required_scopes=required)
    except Refused as refused:
        counted = _counted(refused, info, presented.label, presented.secret)
        raise report_failure(presented.refusal(counted), info, found) from refused.__cause__
    if not info.may_wait and authentication_succeeded.receivers:
        raise MustWait
    presented.record_use(info, now)
    set_outcome(info.request, Outcome(found))
    if authentication_succeeded.receivers:
        authentication_succeeded.send_robust(
            sender=type(found.auth), instance=found.auth, **info.described()
        )
    return found.auth


async def averify(credential: Credential, info: RequestInfo) -> Auth:
    """Run :func:`verify`: in the event loop if nothing waits, else in one of a few threads.

    Django's async ORM would use a thread for each query, and its caches are not async. If that
    changes, this is the place for it.
    """
    info.may_wait = False
    try:
        return verify(credential, info)
    except (MustWait, SynchronousOnlyOperation):
        # The latter comes from code of the project, such as a property of its user model.
        pass
    finally:
        info.may_wait = True
    return await threads.run_in_thread(verify, credential, info)


def unclaimed(credential: Credential, info: RequestInfo) -> Refused:
    """Return the refusal of a credential that no other authentication class accepted either."""
    if not (credential.access_token and access_tokens.are_known()):
        return report_failure(_malformed(credential), info)
    presented = PresentedToken(credential)
    refused = _counted(Refused(Reason.INVALID_CREDENTIALS), info, presented.label, "")
    return report_failure(presented.refusal(refused), info)


def report_failure(refused: Refused, info: RequestInfo, found: Verifiable | None = None) -> Refused:
    """Report a refusal to the request log, the audit log and the signal's receivers. Return it.

    ``found`` is the key whose secret was correct, or the access token, if any.
    """
    _require_silence(info)
    known = get_outcome(info.request)
    proven = found or (known.key if known is not None else None)
    set_outcome(info.request, Outcome(proven, refused))
    if audit.is_heard():
        audit.refused(refused, found, info.source_name, info.described())
    if authentication_failed.receivers:
        authentication_failed.send_robust(
            sender=None, code=refused.reason.code, api_key=refused.api_key, **info.described()
        )
    return refused


def _require_silence(info: RequestInfo) -> None:
    """Raise MustWait if something listens for refusals, which may use a database or a disk."""
    if not info.may_wait and (audit.is_heard() or authentication_failed.receivers):
        raise MustWait


def _malformed(credential: Credential) -> Refused:
    return Refused(Reason.MALFORMED_CREDENTIALS, mistake=credential.mistake)


def _look_up(presented: PresentedKey | PresentedToken, info: RequestInfo) -> bool:
    try:
        return presented.look_up(info)
    except (DatabaseError, InterfaceError) as error:
        # As after a restart of the database. It ends, because a new connection isn't closed again.
        if close_lost_connections():
            return _look_up(presented, info)
        # The driver raises DataError for text that it can't encode.
        if not (is_outage(error) or isinstance(error, DataError)):
            raise
        _log_error(explain(error))
        mark_broken_transactions()
        raise Refused(Reason.SERVICE_UNAVAILABLE, api_key=presented.label) from error


def _counted(refused: Refused, info: RequestInfo, label: str, api_secret: str) -> Refused:
    """Count a failure. Return ``refused``, or its replacement after too many failures."""
    if refused.reason in _COUNTED:
        _require_silence(info)
        try:
            limiter.count(info.address(), label, api_secret, info.source, may_wait=info.may_wait)
        except Refused as too_many:
            return too_many
    return refused


def _reason_against(
    found: Verifiable, info: RequestInfo, now: datetime, from_browser: bool
) -> Reason | None:
    """Return why a request whose secret is correct is refused; None if it is accepted."""
    user = found.user
    if found.is_revoked:
        return Reason.KEY_REVOKED
    if found.is_disabled:
        return Reason.KEY_DISABLED
    if found.is_expired(now):
        return Reason.KEY_EXPIRED
    if user is None or not user.is_active:
        return Reason.USER_INACTIVE
    if found.allowed_ips and not addresses.is_allowed(found.allowed_ips, info.address()):
        return Reason.IP_NOT_ALLOWED
    if found.read_only and not (
        policy.are_safe(info.methods) or info.view_has("accepts_read_only")
    ):
        return Reason.KEY_READ_ONLY
    # Of our schemes, browsers send only Basic by themselves.
    if from_browser and info.is_forgeable:
        return Reason.CROSS_SITE_REQUEST
    if info.for_people and not conf.PAGES_ACCEPT_CREDENTIALS:
        return Reason.SESSION_REQUIRED
    if found.is_scoped and not (
        found.opens(info.required_scopes) or info.view_has("accepts_any_scope")
    ):
        return Reason.INSUFFICIENT_SCOPE
    return None
