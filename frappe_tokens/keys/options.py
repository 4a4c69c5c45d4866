"""Cleans the options of a generation, and the changes of a key."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from ..base_models import POLICIES, AbstractApiKey
from ..conf import LONGEST, conf
from ..credentials import looks_secret
from ..models import ApiKey
from ..validators import (
    DESCRIPTION_MAX_LENGTH,
    NAME_MAX_LENGTH,
    clean_networks,
    validate_declared,
    validate_metadata,
    validate_rate,
    validate_scopes,
)
from .actors import Actor, check_widening

# The options that are stored, besides the name.
VALUES = (*POLICIES, "description", "metadata")

# For longer, use two keys.
GRACE_MAX = timedelta(days=3650)


class Options(TypedDict, total=False):
    """The options of a generation.

    Attributes:
        name: distinguishes the user's keys; "" is the key that Frappe's calls act on.
        grace: how long the replaced secret keeps working; None is ``ROTATION_GRACE``.
        expires_at: when the key expires (aware); for a new key, None is ``DEFAULT_LIFETIME`` from
            now.
        scopes: the key opens views whose ``required_scopes`` it holds; empty: all views.
        read_only: allow GET, HEAD and OPTIONS only.
        allowed_ips: addresses or CIDR networks that the key may be used from; empty: all.
        rate_limit: for views that limit the rate of each key, such as ``100/minute``; "": theirs.
        self_rotate: requests with the key may replace its secret.
        description: for people. It doesn't affect what the key may do.
        metadata: for programs. It doesn't affect what the key may do.
    """

    name: str
    grace: timedelta | None
    expires_at: datetime | None
    scopes: Iterable[str]
    read_only: bool
    allowed_ips: Iterable[str]
    rate_limit: str
    self_rotate: bool
    description: str
    metadata: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """Cleaned options, for one key or many. ``values`` contains only the given ones."""

    name: str
    values: dict[str, object]
    grace: timedelta
    by: Actor | None

    @classmethod
    def clean(cls, by: Actor | None, options: Options) -> KeyOptions:
        if unknown := sorted(options.keys() - Options.__annotations__.keys()):
            raise TypeError(f"These are not options of a key: {', '.join(unknown)}.")
        name = clean_name(options.get("name", ""))
        return cls(name, _clean_given(options), clean_grace(options.get("grace")), by)

    def apply(self, user: Any, existing: ApiKey | None, now: datetime) -> ApiKey:
        """Return the unsaved ``existing`` or new key of ``user``, with the options.

        Raises:
            PermissionDenied: ``by`` may not widen the key.
        """
        key = existing or ApiKey(name=self.name, created_at=now, expires_at=default_expiry(now))
        if existing is None and self.by is not None:
            key.created_by_id = self.by.user.pk
            self.by.narrow(key, self.values)
        before = key.policies
        key.user = user
        for name, value in self.values.items():
            # A copy for each key, so that changing one key's list doesn't change another's.
            set_value(key, name, copy.copy(value), now)
        # A later expiry, within MAX_LIFETIME, widens nothing: a new key could have it too.
        before["expires_at"] = key.expires_at
        check_widening(before, key, self.by)
        return key


def clean_name(name: str) -> str:
    """Return ``name`` without surrounding spaces, or raise ValidationError."""
    name = name.strip()
    if len(name) > NAME_MAX_LENGTH or not name.isprintable():
        problem = _("Enter a name of at most %(length)s printable characters.")
        raise ValidationError(problem, code="name", params={"length": NAME_MAX_LENGTH})
    _refuse_secrets(name)
    return name


def clean_grace(grace: timedelta | None) -> timedelta:
    """Return ``grace``, or ``ROTATION_GRACE`` for None, or raise ValidationError."""
    if grace is None:
        return conf.ROTATION_GRACE
    if not timedelta(0) <= grace <= GRACE_MAX:
        problem = _("The grace period must be between 0 and %(days)s days.")
        raise ValidationError(problem, code="grace", params={"days": GRACE_MAX.days})
    return grace


def clean_expiry(expires_at: datetime) -> datetime:
    """Return ``expires_at``, or raise ValidationError if a key may not expire then.

    It must be in the future and within ``MAX_LIFETIME``, and aware if ``USE_TZ`` is set.
    """
    now = timezone.now()
    latest = now + (conf.MAX_LIFETIME or LONGEST)
    if timezone.is_naive(expires_at) == settings.USE_TZ:
        problem = (
            _("The expiry needs a time zone.")
            if settings.USE_TZ
            else _("The expiry must not have a time zone, because USE_TZ is False.")
        )
    elif expires_at <= now:
        problem = _("The expiry must be in the future.")
    elif expires_at > latest:
        problem = _("The key must expire by %(latest)s.")
    else:
        return expires_at
    params = {"latest": date_format(latest, "DATETIME_FORMAT")}
    raise ValidationError(problem, code="expiry", params=params)


def default_expiry(now: datetime) -> datetime | None:
    """Return when a key made ``now`` expires by default; None for never."""
    lifetimes = [span for span in (conf.DEFAULT_LIFETIME, conf.MAX_LIFETIME) if span is not None]
    return now + min(lifetimes) if lifetimes else None


def set_value(key: AbstractApiKey, name: str, value: Any, now: datetime) -> None:
    """Set one of ``VALUES``, or the name. Another expiry is a lifetime that is given ``now``."""
    if name == "expires_at" and value != key.expires_at:
        key.lifetime = None if value is None else value - now
    setattr(key, name, value)


def clean_changes(changes: Mapping[str, object], held: Collection[str] = ()) -> dict[str, object]:
    """Clean new values of a key's policies and name.

    Args:
        changes: the values by the names of the fields.
        held: the scopes that the key already has.

    Raises:
        ValidationError: some of them are invalid, by the names of the fields.
        TypeError: one of them can't be changed.
    """
    if unknown := sorted(changes.keys() - {"name", *VALUES}):
        raise TypeError(f"These attributes of a key can't be changed: {', '.join(unknown)}.")
    cleaned, errors = {}, {}
    for name, value in changes.items():
        try:
            cleaned[name] = _clean(name, value, held)
        except ValidationError as error:
            errors[name] = error
    if errors:
        raise ValidationError(errors)
    return cleaned


def _clean_given(options: Mapping[str, Any]) -> dict[str, object]:
    """Return the ``VALUES`` among ``options`` that aren't empty, cleaned."""
    values: dict[str, object] = {}
    for name in [name for name in VALUES if name in options]:
        value = options[name]
        if name in ("scopes", "allowed_ips") and not isinstance(value, str):
            # None raises TypeError: it must not leave a key unrestricted. The validators refuse
            # strings, which list() would split into letters.
            value = list(value)
        if value or (name == "expires_at" and value is not None):
            values[name] = _clean(name, value)
    return values


def _clean(name: str, value: Any, held: Collection[str] = ()) -> object:
    """Return the value of one of ``VALUES``, or of the name, cleaned."""
    if name == "name":
        return clean_name(value)
    if name == "expires_at":
        return default_expiry(timezone.now()) if value is None else clean_expiry(value)
    if name in ("read_only", "self_rotate"):
        return bool(value)
    if name == "description":
        return clean_description(value)
    if name == "metadata":
        return clean_metadata(value)
    if name == "allowed_ips":
        return clean_networks(value)
    if name == "rate_limit" and not value:
        return ""
    if name == "rate_limit":
        validate_rate(value)
    else:
        validate_scopes(value)
        validate_declared(value, held)
    return value


def clean_description(description: str) -> str:
    """Return ``description`` without surrounding spaces, or raise ValidationError."""
    description = "\n".join(description.strip().splitlines())
    if len(description) > DESCRIPTION_MAX_LENGTH or not description.replace("\n", "").isprintable():
        problem = _("Enter a description of at most %(length)s printable characters.")
        params = {"length": DESCRIPTION_MAX_LENGTH}
        raise ValidationError(problem, code="description", params=params)
    _refuse_secrets(description)
    return description


def clean_metadata(metadata: Mapping[str, object]) -> Mapping[str, object]:
    """Return ``metadata``, or raise ValidationError."""
    validate_metadata(metadata)
    # An escaped character may touch a secret.
    _refuse_secrets(re.sub(r"\\(u....|.)", " ", json.dumps(metadata)))
    return metadata


def _refuse_secrets(text: str) -> None:
    """Raise ValidationError if ``text``, which pages and clients show, contains a secret."""
    if any(map(looks_secret, re.findall(r"[0-9A-Za-z](?:[0-9A-Za-z_.-]*[0-9A-Za-z])?", text))):
        raise ValidationError(
            _("This contains an API secret. Leave it out, and generate a new one."), code="secret"
        )
