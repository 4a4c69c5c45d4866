"""Stores a key whose pair was chosen elsewhere, for example in a vault, and its rotations."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Literal, NamedTuple

from django.apps import apps
from django.core.exceptions import ValidationError
from django.db import IntegrityError, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import crypto, policy
from ..conf import conf
from ..crypto import Secret
from ..models import ApiKey
from ..types import User
from .actors import check_target
from .announcements import announce_generated
from .generation import set_secret
from .import_checks import SHORT_SECRET_LENGTH, check_pair
from .locking import lock_targets, locking_read, unrevoked_keys
from .number import check_number
from .options import KeyOptions, Options
from .repeating import repeated

if TYPE_CHECKING:
    from typing_extensions import Unpack  # typing's own comes with Python 3.11


class PairResult(NamedTuple):
    """What :func:`set_up_pair` did.

    Attributes:
        key: the key.
        outcome: ``created``; ``rotated`` if another secret was replaced; ``unchanged`` if the key
            already had this secret; ``superseded`` if this secret was replaced by another one and
            is in its grace period.
        ignored: the options that an existing key didn't get, because nothing was written.
        is_short: the secret is only safe with a pepper.
    """

    key: ApiKey
    outcome: Literal["created", "rotated", "unchanged", "superseded"]
    ignored: list[str]
    is_short: bool


@sensitive_variables()
def set_up_pair(
    user: User, api_key: str, api_secret: str, **options: Unpack[Options]
) -> PairResult:
    """Give ``user`` a key with this pair. If the key exists, give it this secret.

    Call it at every start of a program: if nothing has changed, nothing is written. A replaced
    secret in its grace period isn't restored, so a program that still has it can't undo the
    rotation.

    Only for trusted code, because it can set any secret for any user, including superusers.

    Args:
        user: whose requests the key is for.
        api_key: the API key.
        api_secret: its secret. Both are checked as in :func:`import_keys`.
        options: as for :func:`generate_keys`. They only apply to a new key or secret.

    Raises:
        ValidationError: the pair or an option is invalid; the user is inactive; the API key belongs
            to another user or source, has another name or is revoked; it has expired, unless
            another secret comes with a later expiry; it is disabled and would get another secret;
            or the user has another key with this name, or can't have another key. Nothing was
            changed.
    """
    api_secret = Secret(api_secret)
    # Before any query: databases log statements, and the halves may be mixed up.
    check_pair(api_key, api_secret)
    cleaned = KeyOptions.clean(None, options)
    try:
        return _set_up_at_once(user, api_key, api_secret, cleaned)
    except IntegrityError:
        raise ValidationError(
            _("Keys or users changed in the meantime. Try again."), code="changed"
        ) from None


@repeated
@sensitive_variables()
def _set_up_at_once(
    user: User, api_key: str, api_secret: Secret, options: KeyOptions
) -> PairResult:
    with transaction.atomic(using=router.db_for_write(ApiKey)):
        return _set_up(user, api_key, api_secret, options)


@sensitive_variables()
def _set_up(user: User, api_key: str, api_secret: Secret, options: KeyOptions) -> PairResult:
    (target,) = lock_targets([user.pk], None)
    check_target(target, None)
    now = timezone.now()
    is_short = len(api_secret) < SHORT_SECRET_LENGTH
    key = locking_read(ApiKey.objects.stored().filter(api_key=api_key)).first()
    if key is None:
        _check_free(target, api_key, options.name)
        check_number([target])
    else:
        _check_usable(key, target, options.name)
        key.user = target
        in_grace = not policy.has_ended(key.previous_expires_at, now)
        older = key.previous_digest if in_grace else ""
        is_current, is_older = crypto.matches_which(api_secret, key.secret_digest, older)
        if is_current or is_older:
            _check_unexpired(key, now)
            ignored = [
                name
                for name, value in options.values.items()
                # From a duration: different at each start.
                if name != "expires_at" and getattr(key, name) != value
            ]
            return PairResult(key, "unchanged" if is_current else "superseded", ignored, is_short)
    existed, ends_at = key is not None, key.expires_at if key is not None else None
    key = options.apply(target, key, now)
    key.api_key = api_key
    set_secret(key, options.grace, now, None, api_secret, ends_at=ends_at)
    key.save()
    announce_generated([(key, existed)], None)
    return PairResult(key, "rotated" if existed else "created", [], is_short)


def _check_unexpired(key: ApiKey, now: datetime) -> None:
    """Raise ValidationError if ``key`` has expired.

    A new secret may come with a new expiry. One that has ended with its expiry may not: otherwise,
    the next start of the program would renew it, whether or not someone has it who shouldn't.
    """
    if key.is_expired(now):
        problem = _(
            "API key %(api_key)s has expired, and so has this secret. Choose another secret and a "
            "later expiry, or change the expiry of the key."
        )
        raise ValidationError(problem, "key_expired", {"api_key": key.api_key})


def _check_free(user: User, api_key: str, name: str) -> None:
    """Raise ValidationError if the API key, or the name, is taken."""
    params = {"api_key": api_key, "user": user.get_username(), "name": name}
    for label in dict.fromkeys(conf.SOURCES.values()):
        model = apps.get_model(label)
        keys = model._base_manager.using(router.db_for_write(model))
        if keys.filter(api_key=api_key).exists():
            problem = _("API key %(api_key)s belongs to another source (%(source)s).")
            params["source"] = label
            raise ValidationError(problem, code="api_key_taken", params=params)
    if existing := unrevoked_keys([user], name):
        problem = _(
            "User %(user)r already has a live key with the name %(name)r, %(existing)s. Revoke it "
            "first, or choose another name."
        )
        params["existing"] = existing[user.pk].api_key
        raise ValidationError(problem, code="name_taken", params=params)


def _check_usable(key: ApiKey, user: User, name: str) -> None:
    """Raise ValidationError unless ``key`` is an unrevoked key of ``user`` with this name."""
    if key.user_id != user.pk:
        problem, code = _("API key %(api_key)s belongs to another user."), "api_key_taken"
    elif key.is_revoked:
        problem = _(
            "API key %(api_key)s was revoked, which is final. Choose a pair with another API key."
        )
        code = "key_revoked"
    elif key.name != name:
        problem = _("API key %(api_key)s has the name %(name)r. Use this name, or rename the key.")
        code = "name"
    else:
        return
    raise ValidationError(problem, code, {"api_key": key.api_key, "name": key.name})
