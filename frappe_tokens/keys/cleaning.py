"""Cleans the options of a new key, and the changes of an existing one."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any, TypeVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..conf import LONGEST, conf
from ..validators import NAME_MAX_LENGTH, validate_networks, validate_rate, validate_scopes

_Value = TypeVar("_Value")

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


def clean_policies(
    expires_at: datetime | None,
    scopes: Iterable[str],
    read_only: bool,
    allowed_ips: Iterable[str],
    rate_limit: str = "",
) -> dict[str, object]:
    """Return the policies that were given, cleaned, by the names of their fields.

    Raises:
        ValidationError: one of them is invalid.
    """
    policies: dict[str, object] = {}
    # list() would split a string into letters. The validators explain what is wrong with it.
    if scopes := scopes if isinstance(scopes, str) else list(scopes):
        validate_scopes(scopes)
        policies["scopes"] = scopes
    if allowed_ips := allowed_ips if isinstance(allowed_ips, str) else list(allowed_ips):
        validate_networks(allowed_ips)
        policies["allowed_ips"] = allowed_ips
    if read_only:
        policies["read_only"] = True
    if rate_limit:
        validate_rate(rate_limit)
        policies["rate_limit"] = rate_limit
    if expires_at is not None:
        policies["expires_at"] = clean_expiry(expires_at)
    return policies


def clean_changes(changes: Mapping[str, object]) -> dict[str, object]:
    """Clean new values of a key's policies and name.

    Raises:
        ValidationError: some of them are invalid, by the names of the fields.
        TypeError: one of them can't be changed.
    """
    cleaners: dict[str, Callable[[Any], object]] = {
        "name": clean_name,
        "scopes": _checked_by(validate_scopes),
        "allowed_ips": _checked_by(validate_networks),
        "rate_limit": lambda rate: _checked_by(validate_rate)(rate) if rate else "",
        "read_only": bool,
        "expires_at": lambda moment: (
            default_expiry(timezone.now()) if moment is None else clean_expiry(moment)
        ),
    }
    if unknown := sorted(changes.keys() - cleaners.keys()):
        raise TypeError(f"These attributes of a key can't be changed: {', '.join(unknown)}.")
    cleaned, errors = {}, {}
    for name, value in changes.items():
        try:
            cleaned[name] = cleaners[name](value)
        except ValidationError as error:
            errors[name] = error
    if errors:
        raise ValidationError(errors)
    return cleaned


def _checked_by(validate: Callable[[_Value], object]) -> Callable[[_Value], _Value]:
    def check(value: _Value) -> _Value:
        validate(value)
        return value

    return check


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
