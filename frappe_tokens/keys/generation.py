"""Generates keys, and new secrets for existing ones."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import crypto
from ..base_models import AbstractApiKey
from ..conf import conf
from ..crypto import Secret
from ..db import in_batches, insert_rows, update_rows
from ..models import ApiKey
from ..types import User
from .actors import Actor, check_reach, check_target
from .announcements import announce_generated
from .locking import lock_targets, locked_key, refresh, unrevoked_keys
from .number import check_number
from .options import KeyOptions, Options, clean_expiry, clean_grace, set_value
from .repeating import repeated

if TYPE_CHECKING:
    from django.contrib.auth.models import AnonymousUser
    from typing_extensions import Unpack  # typing's own comes with Python 3.11

BATCH_SIZE = 250  # users per statement; larger batches are not faster

SECRET_FIELDS = (
    *("expires_at", "lifetime", "secret_digest", "rotated_at"),
    *("previous_digest", "previous_expires_at", "previous_used_at"),
)


@dataclass(frozen=True, slots=True)
class GeneratedKeys:
    """A generated key. ``api_secret`` exists nowhere else, and ``repr()`` hides it."""

    api_key: str
    api_secret: Secret = field(repr=False)
    instance: AbstractApiKey

    @property
    def token(self) -> Secret:
        """``<api_key>:<api_secret>``, as in the Authorization header."""
        return Secret(f"{self.api_key}:{self.api_secret}")

    @property
    def header(self) -> Secret:
        """The header of a request, ready to copy."""
        return Secret(f"Authorization: token {self.token}")


@sensitive_variables()
def generate_keys(
    user: User, *, by: Actor | None = None, **options: Unpack[Options]
) -> GeneratedKeys:
    """Generate a key for ``user``, or a new secret if they have a key with this name.

    An existing key keeps its API key, and all policies that aren't given here: a rotation never
    widens a key because an option was left out.

    Args:
        user: whose requests the key is for.
        by: who does it. None is trusted code, which may do what a superuser may.
        options: see :class:`~frappe_tokens.keys.options.Options`.

    Raises:
        PermissionDenied: ``by`` may not do this.
        ValidationError: the user is inactive or can't have another key (``too_many_keys``), the key
            is disabled or expired, or an option is invalid.
    """
    return _generate(user, KeyOptions.clean(by, options), must_be_new=False)


@sensitive_variables()
def create_key(
    user: User | AnonymousUser, *, by: Actor | None = None, **options: Unpack[Options]
) -> GeneratedKeys:
    """Generate a new key for ``user``. Fails if they have a key with this name.

    Args and raises: as for :func:`generate_keys`, and ValidationError with the code ``name_taken``.
    """
    return _generate(user, KeyOptions.clean(by, options), must_be_new=True)


@repeated
@sensitive_variables()
def _generate(
    user: User | AnonymousUser, options: KeyOptions, *, must_be_new: bool
) -> GeneratedKeys:
    alias = router.db_for_write(ApiKey)
    with transaction.atomic(using=alias):
        (target,) = lock_targets([user.pk], options.by)
        check_target(target, options.by)
        existing = unrevoked_keys([target], options.name).get(target.pk)
        if existing is not None and must_be_new:
            raise ValidationError(
                _("There is already an API key with this name. Rotate it, or choose another name.")
                if options.name
                else _("There is already an API key without a name. Enter a name."),
                code="name_taken",
            )
        if existing is None:
            check_number([target])
        now, ends_at = timezone.now(), existing.expires_at if existing is not None else None
        key = options.apply(target, existing, now)
        generated = set_secret(key, options.grace, now, options.by, ends_at=ends_at)
        key.save()
        announce_generated([(key, existing is not None)], options.by)
    return generated


@sensitive_variables()
def generate_keys_for_users(
    users: Iterable[object], *, by: Actor | None = None, **options: Unpack[Options]
) -> list[GeneratedKeys]:
    """Call :func:`generate_keys` for many users, all of them or none.

    It takes a few statements per ``BATCH_SIZE`` users, without ``post_save`` signals.

    Args:
        users: the users, or their primary keys. Duplicates are ignored.
        **options: as for :func:`generate_keys`, like ``by`` and the exceptions.

    Returns:
        The keys, in the order of ``users``.
    """
    pks = dict.fromkeys(getattr(user, "pk", user) for user in users)
    return _for_all(pks, KeyOptions.clean(by, options), by)


@repeated
@sensitive_variables()
def _for_all(pks: Iterable[object], cleaned: KeyOptions, by: Actor | None) -> list[GeneratedKeys]:
    alias = router.db_for_write(ApiKey)
    results: list[GeneratedKeys] = []
    with transaction.atomic(using=alias):
        targets = lock_targets(pks, by)
        if by is not None:
            by.preload(targets)
        for target in targets:
            try:
                check_target(target, by)
            except ValidationError as error:
                params = {"user": target.get_username(), "problem": error.messages[0]}
                raise ValidationError("%(user)s: %(problem)s", error.code, params) from error
        now = timezone.now()
        for batch in in_batches(targets, BATCH_SIZE):
            existing = unrevoked_keys(batch, cleaned.name)
            check_number([target for target in batch if target.pk not in existing])
            ends = {pk: key.expires_at for pk, key in existing.items()}
            rows = [cleaned.apply(target, existing.get(target.pk), now) for target in batch]
            for key in rows:
                ends_at = ends.get(key.user_id)
                results.append(set_secret(key, cleaned.grace, now, by, ends_at=ends_at))
            if new := [key for key in rows if key._state.adding]:
                insert_rows(new, "api_key")
            if changed := [key for key in rows if key.user_id in existing]:
                update_rows(changed, sorted({*SECRET_FIELDS, *cleaned.values}), alias)
            announce_generated([(key, key.user_id in existing) for key in rows], by, len(targets))
    return results


@repeated
@sensitive_variables()
def generate_keys_for_source(
    key: AbstractApiKey,
    *,
    grace: timedelta | None = None,
    expires_at: datetime | None = None,
    by: Actor | None = None,
) -> GeneratedKeys:
    """Generate a secret, or a new one, for a row of any source in ``SOURCES``.

    Args:
        key: the row, which has an API key from the start. It's refreshed from the database.
        grace: how long the replaced secret keeps working; None is ``ROTATION_GRACE``.
        expires_at: when the key expires (aware); None: as before. An expired key needs it.
        by: who does it, as for :func:`generate_keys`.

    Raises:
        PermissionDenied: ``by`` may not do this for the row's user.
        ValidationError: the row has no active user, is revoked, disabled, expired or deleted, or
            ``grace`` or ``expires_at`` is invalid.
    """
    grace = clean_grace(grace)
    expires_at = None if expires_at is None else clean_expiry(expires_at)
    with locked_key(key, by) as stored:
        if stored.user is None:
            raise ValidationError(_("First choose the user that the key runs as."), code="no_user")
        check_target(stored.user, by)
        rotated, now = bool(stored.secret_digest), timezone.now()
        ends_at = stored.expires_at
        set_value(stored, "expires_at", expires_at or stored.expires_at, now)
        generated = set_secret(stored, grace, now, by, ends_at=ends_at)
        stored.save(update_fields=SECRET_FIELDS)
        announce_generated([(generated.instance, rotated)], by)
    refresh(key, stored._state.db)
    return replace(generated, instance=key)


@sensitive_variables()
def set_secret(
    key: AbstractApiKey,
    grace: timedelta,
    now: datetime,
    by: Actor | None,
    secret: Secret | None = None,
    *,
    ends_at: datetime | None,
) -> GeneratedKeys:
    """Set a new secret on ``key``, of any source, without saving it.

    It's generated unless trusted code gives a ``secret``. The old one ends with the expiry that the
    key had, ``ends_at``: the new expiry must not extend its life.

    Raises:
        PermissionDenied: ``by`` used a narrower key.
        ValidationError: the key is disabled or has expired.
    """
    if conf.MAX_LIFETIME is not None:
        latest = now + conf.MAX_LIFETIME
        set_value(key, "expires_at", min(key.expires_at or latest, latest), now)
    if key.lifetime is None and key.expires_at is not None:  # new, or written by other code
        key.lifetime = key.expires_at - now
    params = {"api_key": key.api_key}
    if key.is_disabled:
        problem = _("API key %(api_key)s is disabled. Enable it, then try again.")
        raise ValidationError(problem, "key_disabled", params)
    if key.is_expired(now):
        problem = _("API key %(api_key)s has expired. Give it a later expiry, or revoke it.")
        raise ValidationError(problem, "key_expired", params)
    check_reach(key, by)
    keep = bool(key.secret_digest and (grace or conf.REVOKE_ON_REPLAY))
    key.previous_digest = key.secret_digest if keep else ""
    key.previous_expires_at = min(now + grace, ends_at or now + grace) if keep else None
    key.previous_used_at = None
    if secret is None:
        secret = crypto.generate_api_secret()
    key.secret_digest = crypto.make_digest(secret)
    key.rotated_at = now
    return GeneratedKeys(key.api_key, secret, key)
