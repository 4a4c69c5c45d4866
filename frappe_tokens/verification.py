"""The only decision whether a request with a credential goes on, and as which key.

It decides and deletes nothing. Whoever asks translates :class:`~frappe_tokens.exceptions.Refused`
into an answer.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime

from django.db import InterfaceError, OperationalError
from django.utils import timezone

from . import crypto, lookup, policy
from .base_models import AbstractApiKey
from .conf import conf
from .credentials import Credential
from .exceptions import Reason, Refused

logger = logging.getLogger(__name__)

DEFAULT_SOURCE = "User"


@dataclass(frozen=True, slots=True)
class RequestFacts:
    """What the decision needs to know of a request besides its credential.

    Attributes:
        methods: the method that was sent and, where a middleware turned it into another, that one.
        remote_addr: the peer's address (``REMOTE_ADDR``).
        forwarded_for: the value of ``X-Forwarded-For``, or "".
        source: the value of ``Frappe-Authorization-Source``, or None.
        required_scopes: the scopes that the view declares; empty where it declares none.
    """

    methods: tuple[str, ...]
    remote_addr: str = ""
    forwarded_for: str = ""
    source: str | None = None
    required_scopes: tuple[str, ...] = ()


def verify(credential: Credential, facts: RequestFacts) -> AbstractApiKey:
    """Accept or refuse a request, in the order that the documentation of refusals gives.

    Args:
        credential: what :func:`frappe_tokens.credentials.parse` found.
        facts: the rest of the request.

    Returns:
        The key, its ``user`` loaded. One SELECT.

    Raises:
        Refused: with the reason. Why a right secret was refused is told only once it matched.
    """
    model = _check_before_lookup(credential, facts)
    try:
        key = lookup.find(model, credential.api_key)
    except (OperationalError, InterfaceError) as error:
        logger.exception("Credentials cannot be checked: the database does not answer.")
        raise Refused(Reason.SERVICE_UNAVAILABLE, api_key=credential.api_key) from error
    now = timezone.now()
    key, slot = _check_secret(key, credential, now)
    address = policy.client_address(facts.remote_addr, facts.forwarded_for, conf.NUM_PROXIES)
    _check_policies(key, facts, address, now)
    lookup.record_use(key, now=now, address=address, secret=credential.api_secret, slot=slot)
    return key


def _check_before_lookup(credential: Credential, facts: RequestFacts) -> type[AbstractApiKey]:
    if not credential.well_formed:
        raise Refused(Reason.MALFORMED_CREDENTIALS)
    model = lookup.source_model(DEFAULT_SOURCE if facts.source is None else facts.source)
    if model is None:
        raise Refused(Reason.INVALID_CREDENTIALS, api_key=credential.api_key)
    return model


def _check_secret(
    key: AbstractApiKey | None, credential: Credential, now: datetime
) -> tuple[AbstractApiKey, str]:
    """The key and the name of the field whose digest the secret matches."""
    # Both comparisons are made in every case: neither an unknown key nor the absence of an old
    # secret may be told by less work.
    current = crypto.matches(credential.api_secret, key.secret_digest if key else "")
    in_grace = key is not None and not policy.has_ended(key.previous_expires_at, now)
    previous = crypto.matches(
        credential.api_secret, key.previous_digest if key and in_grace else ""
    )
    if key is None or not (current or previous):
        raise Refused(Reason.INVALID_CREDENTIALS, api_key=credential.api_key)
    return key, "secret_digest" if current else "previous_digest"


def _check_policies(key: AbstractApiKey, facts: RequestFacts, address: str, now: datetime) -> None:
    if key.is_revoked:
        raise Refused(Reason.KEY_REVOKED, api_key=key.api_key)
    if key.is_expired(now):
        raise Refused(Reason.KEY_EXPIRED, api_key=key.api_key)
    if not key.user.is_active:
        raise Refused(Reason.USER_INACTIVE, api_key=key.api_key)
    if not policy.address_allowed(key.allowed_ips, address):
        raise Refused(Reason.IP_NOT_ALLOWED, api_key=key.api_key)
    if not policy.method_allowed(key.read_only, facts.methods):
        raise Refused(Reason.KEY_READ_ONLY, api_key=key.api_key)
    if not policy.scopes_open(key.scopes, facts.required_scopes):
        raise Refused(
            Reason.INSUFFICIENT_SCOPE, api_key=key.api_key, required_scopes=facts.required_scopes
        )
