"""Making, rotating and revoking keys: the only place that writes credentials.

Every way in (admin, command, RPC) calls these functions. Who may do what to whom is decided in
:mod:`frappe_tokens.actors`, which they ask.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import connections, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from . import key_cache
from .actors import Actor, check_target
from .base_models import AbstractApiKey
from .batches import in_batches, update_rows
from .locking import lock_users
from .models import ApiKey
from .terms import GeneratedKeys, Terms

__all__ = ["BATCH_SIZE", "GeneratedKeys", "generate_keys", "generate_keys_for_users", "revoke"]

# Users whose keys are written with one statement. More make neither the database nor Python any
# faster, and with fewer the 999 parameters that older SQLite takes are enough.
BATCH_SIZE = 250


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
    terms = Terms.of(name, grace, expires_at, scopes, read_only, allowed_ips, by)
    alias = router.db_for_write(ApiKey)
    with transaction.atomic(using=alias):
        (target,) = _lock([user.pk], by)
        check_target(target, by)
        live = _live_keys([target], terms.name, alias)
        generated = terms.fulfil(target, live.get(target.pk), timezone.now())
        generated.instance.save(using=alias)
    return generated


@sensitive_variables()
def generate_keys_for_users(
    users: Iterable[Any],
    *,
    name: str = "",
    grace: timedelta | None = None,
    expires_at: datetime | None = None,
    scopes: Iterable[str] = (),
    read_only: bool = False,
    allowed_ips: Iterable[str] = (),
    by: Actor | None = None,
) -> list[GeneratedKeys]:
    """Do what :func:`generate_keys` does for each of many users, or, where one fails, for none.

    It takes a few statements for every ``BATCH_SIZE`` users, which send no ``post_save``.

    Args:
        users: the users, or their primary keys. Whoever comes twice gets one key.
        name, grace, expires_at, scopes, read_only, allowed_ips, by: as for :func:`generate_keys`.

    Returns:
        What was made, in the order of ``users``.

    Raises:
        PermissionDenied: ``by`` may not do this for one of them.
        ValidationError: one of them is inactive, a key has expired, or an argument is not usable.
    """
    terms = Terms.of(name, grace, expires_at, scopes, read_only, allowed_ips, by)
    alias = router.db_for_write(ApiKey)
    pks = dict.fromkeys(getattr(user, "pk", user) for user in users)
    made: list[GeneratedKeys] = []
    with transaction.atomic(using=alias):
        targets = _lock(pks, by)
        for target in targets:
            _check_one_of_many(target, by)
        now = timezone.now()
        for batch in in_batches(targets, BATCH_SIZE):
            live = _live_keys(batch, terms.name, alias)
            generated = [terms.fulfil(target, live.get(target.pk), now) for target in batch]
            _write([keys.instance for keys in generated], terms, alias)
            made += generated
    return made


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
    # Not by the model's own queryset, which would end what is cached of every key.
    still_live = model._base_manager.using(alias).filter(pk=key.pk, revoked_at__isnull=True)
    with transaction.atomic(using=alias):
        lock_users([key.user_id], by)
        revoked = bool(still_live.update(**changes))
        key_cache.end(model.cache_label(), [key.api_key], alias)
    with suppress(model.DoesNotExist):  # deleted meanwhile, with its user
        key.refresh_from_db(using=alias)
    return revoked


def _lock(pks: Iterable[Any], by: Actor | None) -> list[Any]:
    """The users of ``pks`` in that order, as stored now, until the end of the transaction."""
    pks = list(pks)
    locked = lock_users(pks, by)
    try:
        return [locked[pk] for pk in pks]
    except KeyError:
        raise ValidationError(_("This user does not exist any more."), code="no_user") from None


def _check_one_of_many(user: Any, by: Actor | None) -> None:
    try:
        check_target(user, by)
    except ValidationError as error:
        raise ValidationError(
            "%(user)s: %(problem)s",
            code=error.code,
            params={"user": user.get_username(), "problem": error.messages[0]},
        ) from error


def _live_keys(users: Iterable[Any], name: str, alias: str) -> dict[Any, ApiKey]:
    """The live keys of this name, as stored now, by the primary keys of their users."""
    pks = [user.pk for user in users]
    live = ApiKey._default_manager.using(alias).filter(user__in=pks, name=name, live=True)
    if connections[alias].features.has_select_for_update:
        # A snapshot of this transaction may be older than the lock; a locking read is not.
        live = live.select_for_update()
    return {key.user_id: key for key in live.order_by()}


def _write(keys: Iterable[Any], terms: Terms, alias: str) -> None:
    """Save ``keys``, new ones and others."""
    new: list[ApiKey] = []
    existing: list[ApiKey] = []
    for key in keys:
        (new if key._state.adding else existing).append(key)
    if new:
        _insert(new, alias)
    if existing:
        update_rows(existing, terms.writes, alias)


def _insert(keys: list[ApiKey], alias: str) -> None:
    stored = ApiKey._default_manager.using(alias)
    stored.bulk_create(keys)
    # MySQL does not tell the primary keys of many new rows.
    untold = {key.api_key: key for key in keys if key.pk is None}
    for api_key, pk in stored.filter(api_key__in=untold).values_list("api_key", "pk"):
        untold[api_key].pk = pk
        untold[api_key]._state.adding = False
        untold[api_key]._state.db = alias
