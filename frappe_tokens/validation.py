"""What a key may be given: its name, its policies, and for how long."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from . import policy
from .conf import LONGEST, conf
from .rates import parse_rate

NAME_MAX_LENGTH = 100
RATE_MAX_LENGTH = 30

# What is stored of a key is read at every request.
LIST_MAX_LENGTH = 100
ITEM_MAX_LENGTH = 200

# Whoever needs an old secret for longer needs two keys.
GRACE_MAX = timedelta(days=3650)


def validate_scopes(scopes: Any) -> None:
    """Raise ValidationError unless ``scopes`` is a list of scope tokens (RFC 6749, section 3.3).

    Without commas, which separate them in forms.
    """
    if not isinstance(scopes, list) or not all(isinstance(scope, str) for scope in scopes):
        raise ValidationError(_("Give the scopes as a list of words."))
    _check_size(scopes)
    for scope in scopes:
        if not scope or not all(" " < char <= "~" and char not in '",\\' for char in scope):
            raise ValidationError(
                _(
                    "%(scope)r is no scope: use printable ASCII without spaces, commas, quotes "
                    "and \\."
                ),
                params={"scope": scope},
            )


def validate_networks(networks: Any) -> None:
    """Raise ValidationError unless ``networks`` is a list of addresses and CIDR networks."""
    if not isinstance(networks, list) or not all(isinstance(item, str) for item in networks):
        raise ValidationError(_("Give the allowed addresses as a list."))
    _check_size(networks)
    for network in networks:
        try:
            policy.parse_network(network)
        except ValueError as error:
            raise ValidationError(
                _("%(network)s is no address or network, such as 192.0.2.7 or 2001:db8::/32."),
                params={"network": network},
            ) from error


def _check_size(words: list[str]) -> None:
    if len(words) > LIST_MAX_LENGTH or any(len(word) > ITEM_MAX_LENGTH for word in words):
        raise ValidationError(
            _("Give at most %(items)d, each of at most %(length)d characters."),
            params={"items": LIST_MAX_LENGTH, "length": ITEM_MAX_LENGTH},
        )


def validate_rate(rate: str) -> None:
    """Raise ValidationError unless ``rate`` is one that DRF understands, such as ``100/minute``."""
    problem = ValidationError(
        _("Give the rate as a number a period, such as 100/minute."), code="rate_limit"
    )
    try:
        parse_rate(rate)
    except ValueError as error:
        raise problem from error
    if len(rate) > RATE_MAX_LENGTH:
        raise problem


def clean_name(name: str) -> str:
    """``name`` without the space around it.

    Raises:
        ValidationError: it is too long or has control characters.
    """
    name = name.strip()
    if len(name) > NAME_MAX_LENGTH or not name.isprintable():
        raise ValidationError(
            _("A key's name has at most %(length)s characters, all of them printable."),
            code="name",
            params={"length": NAME_MAX_LENGTH},
        )
    return name


def check_grace(grace: timedelta) -> timedelta:
    """``grace``, if an old secret may go on working for so long.

    Raises:
        ValidationError: it is negative or out of all proportion.
    """
    if not timedelta(0) <= grace <= GRACE_MAX:
        raise ValidationError(
            _("The grace must be between nothing and %(days)s days."),
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
) -> dict[str, Any]:
    """Those policies that were named, by the name of their field, checked.

    Raises:
        ValidationError: one of them is not usable.
    """
    policies: dict[str, Any] = {}
    # One string would pass for a list of one-letter words; the validators say what is wrong.
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
        policies["expires_at"] = check_expiry(expires_at)
    return policies


def clean_changes(changes: dict[str, Any]) -> dict[str, Any]:
    """New values for a key's policies and its name, checked.

    Raises:
        ValidationError: one of them is not usable; by the name of its field where it is several's.
        TypeError: one of them is nothing that may be changed.
    """
    cleaners: dict[str, Callable[[Any], Any]] = {
        "name": clean_name,
        "scopes": _checked_by(validate_scopes),
        "allowed_ips": _checked_by(validate_networks),
        "rate_limit": lambda rate: _checked_by(validate_rate)(rate) if rate else "",
        "read_only": bool,
        "expires_at": lambda moment: (
            default_expiry(timezone.now()) if moment is None else check_expiry(moment)
        ),
    }
    if unknown := sorted(changes.keys() - cleaners.keys()):
        raise TypeError(f"Of a key, {', '.join(unknown)} cannot be changed.")
    cleaned, errors = {}, {}
    for name, value in changes.items():
        try:
            cleaned[name] = cleaners[name](value)
        except ValidationError as error:
            errors[name] = error
    if errors:
        raise ValidationError(errors)
    return cleaned


def _checked_by(validate: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def check(value: Any) -> Any:
        validate(value)
        return value

    return check


def check_expiry(expires_at: datetime) -> datetime:
    """``expires_at``, if a key may end then.

    Raises:
        ValidationError: it is naive, past, or beyond ``MAX_LIFETIME``.
    """
    now = timezone.now()
    if timezone.is_naive(expires_at) == settings.USE_TZ:
        raise ValidationError(
            _("The expiry needs a time zone.")
            if settings.USE_TZ
            else _("The expiry must be without a time zone, as USE_TZ is off."),
            code="expiry",
        )
    if expires_at <= now:
        raise ValidationError(_("The expiry must lie in the future."), code="expiry")
    longest = conf.MAX_LIFETIME or LONGEST
    if expires_at > now + longest:
        raise ValidationError(
            _("The key must expire before %(latest)s at the latest."),
            code="expiry",
            params={"latest": date_format(now + longest, "DATETIME_FORMAT")},
        )
    return expires_at


def bounded_expiry(expires_at: datetime | None, now: datetime) -> datetime | None:
    """``expires_at``, or the end of ``MAX_LIFETIME`` where that comes earlier."""
    if conf.MAX_LIFETIME is None:
        return expires_at
    latest = now + conf.MAX_LIFETIME
    return latest if expires_at is None else min(expires_at, latest)


def default_expiry(now: datetime) -> datetime | None:
    """When a key made ``now`` ends, where nobody says; None for never."""
    lifetimes = [span for span in (conf.DEFAULT_LIFETIME, conf.MAX_LIFETIME) if span is not None]
    return now + min(lifetimes) if lifetimes else None
