"""Making keys and giving them new secrets."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.db import connections, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..actors import Actor, check_target
from ..base_models import AbstractApiKey
from ..batches import in_batches
from ..instances import maker_of_new
from ..locking import lock_users
from ..models import ApiKey
from ..terms import SECRET_FIELDS, GeneratedKeys, Terms, grace_or_default, renew
from .announcements import announce_generated
from .rows import locked
from .writing import write_keys

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
    rate_limit: str = "",
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
        rate_limit: for views that are throttled by key, such as ``100/minute``; "": their own.
        by: who asks. None is trusted code, such as a shell, which may do everything that a
            superuser may.

    Raises:
        PermissionDenied: ``by`` may not do this.
        ValidationError: the user is inactive, the key has expired, or an argument is not usable.
    """
    terms = Terms.of(name, grace, expires_at, scopes, read_only, allowed_ips, rate_limit, by)
    alias = router.db_for_write(ApiKey)
    with transaction.atomic(using=alias):
        (target,) = _lock([user.pk], by)
        check_target(target, by)
        live = _live_keys([target], terms.name, alias)
        now = timezone.now()
        key = live.get(target.pk) or ApiKey(**terms.of_new_key(now))
        generated = terms.fulfil(target, key, now)
        generated.instance.save(using=alias)
        announce_generated([(generated.instance, target.pk in live)], by)
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
    rate_limit: str = "",
    by: Actor | None = None,
) -> list[GeneratedKeys]:
    """Do what :func:`generate_keys` does for each of many users, or, where one fails, for none.

    It takes a few statements for every ``BATCH_SIZE`` users, which send no ``post_save``.

    Args:
        users: the users, or their primary keys. Whoever comes twice gets one key.
        name, grace, expires_at, scopes, read_only, allowed_ips, rate_limit, by: as for
            :func:`generate_keys`.

    Returns:
        What was made, in the order of ``users``.

    Raises:
        PermissionDenied: ``by`` may not do this for one of them.
        ValidationError: one of them is inactive, a key has expired, or an argument is not usable.
    """
    terms = Terms.of(name, grace, expires_at, scopes, read_only, allowed_ips, rate_limit, by)
    alias = router.db_for_write(ApiKey)
    pks = dict.fromkeys(getattr(user, "pk", user) for user in users)
    made: list[GeneratedKeys] = []
    with transaction.atomic(using=alias):
        targets = _lock(pks, by)
        if by is not None:
            by.preload(targets)
        for target in targets:
            _check_one_of_many(target, by)
        now = timezone.now()
        new_key = maker_of_new(ApiKey, terms.of_new_key(now))
        for batch in in_batches(targets, BATCH_SIZE):
            live = _live_keys(batch, terms.name, alias)
            generated = [
                terms.fulfil(target, live.get(target.pk) or new_key(), now) for target in batch
            ]
            write_keys([keys.instance for keys in generated], terms.writes, alias)
            announce_generated(
                [(keys.instance, keys.instance.user_id in live) for keys in generated], by
            )
            made += generated
    return made


@sensitive_variables()
def generate_keys_for_source(
    key: AbstractApiKey, *, grace: timedelta | None = None, by: Actor | None = None
) -> GeneratedKeys:
    """Give ``key``, a row of any source in ``SOURCES``, a secret, or a new one.

    Args:
        key: the row, which has its API key from the time that it was made; brought up to date.
        grace: how long the replaced secret goes on working; None is ``ROTATION_GRACE``.
        by: who asks, as for :func:`generate_keys`.

    Raises:
        PermissionDenied: ``by`` may not do this for the row's user.
        ValidationError: the row has no user or an inactive one, is revoked, expired or deleted, or
            an argument is not usable.
    """
    grace = grace_or_default(grace)
    with locked(key, by) as stored:
        if stored.user is None:
            raise ValidationError(_("Choose the user that the key runs as first."), code="no_user")
        check_target(stored.user, by)
        rotated = bool(stored.secret_digest)
        generated = renew(stored, grace, timezone.now(), by)
        stored.save(update_fields=["expires_at", *SECRET_FIELDS])
        announce_generated([(generated.instance, rotated)], by)
    key.refresh_from_db(using=stored._state.db)
    return replace(generated, instance=key)


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
