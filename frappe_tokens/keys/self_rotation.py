"""Lets an API key replace its own secret."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..conf import conf
from .actors import Actor, check_target
from .announcements import announce_generated
from .generation import SECRET_FIELDS, GeneratedKeys, set_secret
from .locking import locked_key
from .options import clean_expiry, clean_grace
from .repeating import repeated

# A client that asks for the same lifetime again may be early, or its clock may be ahead.
_TOLERANCE = timedelta(minutes=1)

# A thief who rotates the key goes unnoticed while the owner's secret still works.
_GRACE_MAX = timedelta(days=1)


@repeated
@sensitive_variables()
def rotate_itself(
    key: AbstractApiKey, *, grace: timedelta | None = None, expires_at: datetime | None = None
) -> GeneratedKeys:
    """Generate a new secret for ``key``, for a request that its current secret authenticated.

    Args:
        key: the key, of any source, as it authenticated the request (``request.auth``).
        grace: how long the replaced secret keeps working, at most a day or ``ROTATION_GRACE``,
            whichever is longer; None is ``ROTATION_GRACE``.
        expires_at: when the key expires (aware); None: as before. From now, the key can't live
            longer than the lifetime that it got when its expiry was last set in another way.

    Raises:
        PermissionDenied: the key may not rotate itself, or its secret has been replaced.
        ValidationError: ``grace`` or ``expires_at`` is invalid; or meanwhile, the key was revoked,
            disabled or deleted, or expired, or its user was deactivated.
    """
    grace = clean_grace(grace)
    longest = max(_GRACE_MAX, conf.ROTATION_GRACE)
    if grace > longest:
        problem = _("A key that rotates itself can have a grace period of at most %(hours)d hours.")
        params = {"hours": longest.total_seconds() / 3600}
        raise ValidationError(problem, code="grace", params=params)
    expires_at = None if expires_at is None else clean_expiry(expires_at)
    with locked_key(key, None) as stored:
        if not stored.self_rotate:
            raise PermissionDenied(
                _("This API key may not rotate itself. Ask an administrator to allow it.")
            )
        # Checked under the lock: of two parallel requests, the first replaces the secret.
        is_current = stored.secret_digest == key.secret_digest and stored.user_id == key.user_id
        if key.authenticated_by_old_secret or not is_current:
            raise PermissionDenied(
                _("The secret of this request was replaced. Rotate the key with its current one.")
            )
        check_target(stored.user, None)
        had_expiry, now = stored.expires_at is not None, timezone.now()
        generated = set_secret(stored, grace, now, None, ends_at=stored.expires_at)
        if expires_at is not None:
            lifetime = stored.lifetime if had_expiry else None
            # The lifetime stays: only others give another one.
            stored.expires_at = _limited(expires_at, now, lifetime)
        stored.save(update_fields=SECRET_FIELDS)
        announce_generated([(stored, True)], Actor(stored.user))
    return generated


def _limited(expires_at: datetime, now: datetime, lifetime: timedelta | None) -> datetime:
    """Return ``expires_at``, or raise ValidationError if it's beyond ``lifetime``."""
    if lifetime is None:
        raise ValidationError(
            _("This API key has no expiry. Leave out expires_at and expires_in."), code="expiry"
        )
    latest = now + lifetime
    if expires_at > latest + _TOLERANCE:
        raise ValidationError(
            _("The key must expire by %(latest)s."),
            code="expiry",
            params={"latest": date_format(latest, "DATETIME_FORMAT")},
        )
    return min(expires_at, latest)
