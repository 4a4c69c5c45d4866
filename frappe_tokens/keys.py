"""Making, rotating and revoking keys: the only place that writes credentials.

Every way in (admin, command, RPC) calls these functions. Who may do what to whom is decided in
:mod:`frappe_tokens.actors`, which they ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connections, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from . import crypto
from .actors import Actor, check_target
from .base_models import AbstractApiKey
from .conf import conf
from .crypto import Secret
from .models import ApiKey
from .validation import bounded_expiry, check_grace, clean_name, clean_policies, default_expiry


@dataclass(frozen=True, slots=True)
class GeneratedKeys:
    """What was made. ``api_secret`` is here and nowhere else, ever; ``repr()`` hides it."""

    api_key: str
    api_secret: Secret = field(repr=False)
    instance: AbstractApiKey

    @property
    def token(self) -> Secret:
        """``<api_key>:<api_secret>``, as the Authorization header takes it."""
        return Secret(f"{self.api_key}:{self.api_secret}")

    @property
    def header(self) -> Secret:
        """The header of a request, ready to copy."""
        return Secret(f"Authorization: token {self.token}")


@sensitive_variables()
def generate_keys(
    user: Any,
    *,
    name: str = "",
    grace: timedelta | None = None,
    expires_at: datetime | None = None,
    scopes: Iterable[str] = (),
    read_only: bool = False,
    allowed_ips: Iterable[str] = (),
    by: Actor | None = None,
) -> GeneratedKeys:
    """Make a key for ``user``, or give the key that they have of this ``name`` a new secret.

    A key that exists keeps its API key. Its policies stay as they are too, except for those that
    are named here: a rotation never widens a key by leaving something out.

    Args:
        user: whose requests the key is to make.
        name: tells the user's keys apart; "" is the key that Frappe's calls act on.
        grace: how long the replaced secret goes on working; None is ``ROTATION_GRACE``.
        expires_at: when the key ends (aware); for a new key, None is ``DEFAULT_LIFETIME`` from now.
        scopes: the views that the key opens, by their ``required_scopes``; empty: all.
        read_only: only GET, HEAD and OPTIONS.
        allowed_ips: addresses or CIDR networks that the key may be used from; empty: all.
        by: who asks. None is trusted code, such as a shell, which may do everything that a
            superuser may.

    Raises:
        PermissionDenied: ``by`` may not do this.
        ValidationError: the user is inactive, the key has expired, or an argument is not usable.
    """
    name = clean_name(name)
    policies = clean_policies(expires_at, scopes, read_only, allowed_ips)
    grace = conf.ROTATION_GRACE if grace is None else check_grace(grace)
    alias = router.db_for_write(ApiKey)
    with transaction.atomic(using=alias):
        user = _lock(user, by)
        check_target(user, by)
        now = timezone.now()
        secret = crypto.generate_api_secret()
        live = ApiKey._default_manager.using(alias).filter(user=user, name=name, live=True)
        if connections[alias].features.has_select_for_update:
            # A snapshot of this transaction may be older than the lock; a locking read is not.
            live = live.select_for_update()
        key = live.first()
        if key is None:
            key = ApiKey(user=user, name=name, created_at=now)
            key.created_by_id = by.user.pk if by is not None else None
            key.expires_at = default_expiry(now)
        for field_name, value in policies.items():
            setattr(key, field_name, value)
        key.expires_at = bounded_expiry(key.expires_at, now)
        if key.is_expired(now):
            raise ValidationError(
                _(
                    "The API key %(api_key)s has expired. Give it a later expiry or revoke it, "
                    "then generate again."
                ),
                code="key_expired",
                params={"api_key": key.api_key},
            )
        _replace_secret(key, secret, grace, now)
        key.save(using=alias)
    return GeneratedKeys(key.api_key, secret, key)


def revoke(key: AbstractApiKey, *, reason: str = "", by: Actor | None = None) -> bool:
    """End ``key`` for good, from the next request on. Its row stays, for the log.

    Args:
        key: the key; brought up to date.
        reason: why, in a few words, for those who look at it later.
        by: who asks. None is trusted code.

    Returns:
        Whether it was live until now. Revoking again changes nothing.

    Raises:
        PermissionDenied: ``by`` may not do this.
    """
    if by is not None and not by.may_generate:
        raise PermissionDenied(_("You may not revoke API keys."))
    model = type(key)
    alias = router.db_for_write(model)
    changes: dict[str, Any] = {
        "revoked_at": timezone.now(),
        "revoked_by": by.user if by is not None else None,
        "revoked_reason": reason[:200],
        "previous_digest": "",
        "previous_expires_at": None,
    }
    if isinstance(key, ApiKey):
        changes["live"] = None
    still_live = model._default_manager.using(alias).filter(pk=key.pk, revoked_at__isnull=True)
    with transaction.atomic(using=alias):
        lock_users([key.user_id], by)
        revoked = bool(still_live.update(**changes))
    with suppress(model.DoesNotExist):  # deleted meanwhile, with its user
        key.refresh_from_db(using=alias)
    return revoked


def lock_users(pks: Iterable[Any], by: Actor | None = None) -> dict[Any, Any]:
    """Queue up behind everyone who generates for any of these users.

    Call it first in a transaction that generates for several users, or writes keys otherwise.
    Users are locked before keys and in the order of their primary keys, always: that is what keeps
    parallel calls from waiting for each other in a circle.

    Args:
        pks: the primary keys of the users.
        by: who asks.

    Returns:
        Those that exist, as stored now, by primary key.
    """
    alias = router.db_for_write(ApiKey)
    features = connections[alias].features
    wanted = set(pks)
    if not features.has_select_for_update:
        # SQLite locks the database at the first write. A read before it would have to be upgraded,
        # and fails at once where another has written meanwhile.
        ApiKey._base_manager.using(alias).filter(pk=0).update(name="")
    elif by is not None and not features.has_select_for_no_key_update:
        # On MySQL and MariaDB, writing a row that refers to a user waits for that user's lock.
        wanted.add(by.user.pk)
    users = get_user_model()._base_manager.using(alias).filter(pk__in=wanted).order_by("pk")
    if features.has_select_for_update:
        # Without the key: inserting a row that refers to the user must not wait for us.
        users = users.select_for_update(no_key=features.has_select_for_no_key_update)
    return {user.pk: user for user in users}


def _lock(user: Any, by: Actor | None) -> Any:
    try:
        return lock_users([user.pk], by)[user.pk]
    except KeyError:
        raise ValidationError(_("This user does not exist any more."), code="no_user") from None


def _replace_secret(key: AbstractApiKey, secret: str, grace: timedelta, now: datetime) -> None:
    if key.secret_digest and grace:
        key.previous_digest = key.secret_digest
        key.previous_expires_at = now + grace
    else:
        key.previous_digest = ""
        key.previous_expires_at = None
    key.previous_used_at = None
    key.secret_digest = crypto.make_digest(secret)
    key.rotated_at = now
