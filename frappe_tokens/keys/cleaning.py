"""Cleans the options of a new key, and the changes of an existing one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..base_models import POLICIES
from ..conf import LONGEST, conf
from ..validators import NAME_MAX_LENGTH, validate_networks, validate_rate, validate_scopes

# Anyone who needs an old secret for longer needs two keys.
GRACE_MAX = timedelta(days=3650)


def clean_name(name: str) -> str:
    """Return ``name`` without surrounding spaces.

    Raises:
        ValidationError: it is too long or contains control characters.
    """
    name = name.strip()
    if len(name) > NAME_MAX_LENGTH or not name.isprintable():
        raise ValidationError(
            _("Enter a name of at most %(length)s printable characters."),
            code="name",
            params={"length": NAME_MAX_LENGTH},
        )
    return name


def clean_grace(grace: timedelta) -> timedelta:
    """Return ``grace`` if it is a valid grace period.

    Raises:
        ValidationError: it is negative or too long.
    """
    if not timedelta(0) <= grace <= GRACE_MAX:
        raise ValidationError(
            _("The grace period must be between 0 and %(days)s days."),
            code="grace",
            params={"days": GRACE_MAX.days},
        )
    return grace


def clean_policies(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the policies among ``options`` that are not empty, cleaned."""
    policies: dict[str, object] = {}
    for name in POLICIES:
        value = options.get(name)
        if name in ("scopes", "allowed_ips"):
            # Without a list, a key would be unrestricted: None is an error. list() would split a
            # string into letters. The validators explain what is wrong with it.
            value = options.get(name, ())
            value = value if isinstance(value, str) else list(value)
        if value is not None if name == "expires_at" else value:
            policies[name] = _CLEANERS[name](value)
    return policies


def clean_changes(changes: Mapping[str, object]) -> dict[str, object]:
    """Clean new values of a key's policies and name.

    Raises:
        ValidationError: some of them are invalid, by the names of the fields.
        TypeError: one of them can't be changed.
    """
    if unknown := sorted(changes.keys() - _CLEANERS.keys()):
        raise TypeError(f"These attributes of a key can't be changed: {', '.join(unknown)}.")
    cleaned, errors = {}, {}
    for name, value in changes.items():
        try:
            cleaned[name] = _CLEANERS[name](value)
        except ValidationError as error:
            errors[name] = error
    if errors:
        raise ValidationError(errors)
    return cleaned


def clean_expiry(expires_at: datetime) -> datetime:
    """Return ``expires_at`` if a key may expire then.

    Raises:
        ValidationError: it is naive, in the past, or beyond ``MAX_LIFETIME``.
    """
    now = timezone.now()
    if timezone.is_naive(expires_at) == settings.USE_TZ:
        raise ValidationError(
            _("The expiry needs a time zone.")
            if settings.USE_TZ
            else _("The expiry must not have a time zone, because USE_TZ is False."),
            code="expiry",
        )
    if expires_at <= now:
        raise ValidationError(_("The expiry must be in the future."), code="expiry")
    longest = conf.MAX_LIFETIME or LONGEST
    if expires_at > now + longest:
        raise ValidationError(
            _("The key must expire by %(latest)s."),
            code="expiry",
            params={"latest": date_format(now + longest, "DATETIME_FORMAT")},
        )
    return expires_at


def bounded_expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    """Return ``expires_at``, or the end of ``MAX_LIFETIME`` if that is earlier."""
    if conf.MAX_LIFETIME is None:
        return expires_at
    latest = now + conf.MAX_LIFETIME
    return latest if expires_at is None else min(expires_at, latest)


def default_expiry(now: datetime) -> datetime | None:
    """Return when a key made ``now`` expires by default; None for never."""
    lifetimes = [span for span in (conf.DEFAULT_LIFETIME, conf.MAX_LIFETIME) if span is not None]
    return now + min(lifetimes) if lifetimes else None


def _checked_by(validate: Callable[[Any], object]) -> Callable[[Any], object]:
    def check(value: Any) -> object:
        validate(value)
        return value

    return check


def _clean_new_expiry(expires_at: datetime | None) -> datetime | None:
    return default_expiry(timezone.now()) if expires_at is None else clean_expiry(expires_at)


_CLEANERS: dict[str, Callable[[Any], object]] = {
    "name": clean_name,
    "scopes": _checked_by(validate_scopes),
    "allowed_ips": _checked_by(validate_networks),
    "rate_limit": lambda rate: _checked_by(validate_rate)(rate) if rate else "",
    "read_only": bool,
    "expires_at": _clean_new_expiry,
}
