"""The options of a generation, and how they change a key."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, TypedDict

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import crypto
from ..base_models import AbstractApiKey
from ..conf import conf
from ..crypto import Secret
from ..models import ApiKey
from .actors import Actor, check_reach, check_widening
from .cleaning import bounded_expiry, clean_grace, clean_name, clean_policies, default_expiry

SECRET_FIELDS = (
    "secret_digest",
    "previous_digest",
    "previous_expires_at",
    "previous_used_at",
    "rotated_at",
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
    """

    name: str
    grace: timedelta | None
    expires_at: datetime | None
    scopes: Iterable[str]
    read_only: bool
    allowed_ips: Iterable[str]
    rate_limit: str


@dataclass(frozen=True, slots=True)
class KeyOptions:
    """Cleaned options of a generation, for one key or many. ``policies`` has only given ones."""

    name: str
    policies: dict[str, object]
    grace: timedelta
    by: Actor | None

    @classmethod
    def clean(cls, by: Actor | None, options: Options) -> KeyOptions:
        if unknown := sorted(options.keys() - Options.__annotations__.keys()):
            raise TypeError(f"These are not options of a key: {', '.join(unknown)}.")
        return cls(
            clean_name(options.get("name", "")),
            clean_policies(options),
            grace_or_default(options.get("grace")),
            by,
        )

    def initial_values(self, now: datetime) -> dict[str, object]:
        """Return the attributes of a key that is created ``now``."""
        by = self.by.user if self.by is not None else None
        return {
            "name": self.name,
            "created_at": now,
            # An anonymous user has none, and is refused when the target is checked.
            "created_by_id": getattr(by, "pk", None),
            "expires_at": default_expiry(now),
        }

    @sensitive_variables()
    def apply(self, user: Any, key: ApiKey, now: datetime) -> GeneratedKeys:
        """Set the options and a new secret on the ``key`` of ``user``, without saving it.

        Raises:
            PermissionDenied: ``by`` may not widen the key, or used a narrower one.
            ValidationError: the key has expired.
        """
        if key._state.adding and self.by is not None:
            self.by.narrow(key, self.policies)
        before = key.policies
        key.user = user
        for field_name, value in self.policies.items():
            # A copy for each key, so that changing one key's list doesn't change another's.
            setattr(key, field_name, copy.copy(value))
        if key._state.adding:
            # A first expiry widens nothing. MAX_LIFETIME limits it.
            before["expires_at"] = key.expires_at
        check_widening(before, key, self.by)
        return set_secret(key, self.grace, now, self.by)

    @property
    def updated_fields(self) -> tuple[str, ...]:
        """The fields of an existing key that :meth:`apply` changes."""
        return (*sorted({"expires_at", *self.policies}), *SECRET_FIELDS)


def grace_or_default(grace: timedelta | None) -> timedelta:
    """Return ``grace`` if it is valid, or ``ROTATION_GRACE`` if it's None."""
    return conf.ROTATION_GRACE if grace is None else clean_grace(grace)


@sensitive_variables()
def set_secret(
    key: AbstractApiKey, grace: timedelta, now: datetime, by: Actor | None
) -> GeneratedKeys:
    """Set a new secret on ``key``, of any source and as stored now, without saving it.

    Raises:
        PermissionDenied: ``by`` used a narrower key.
        ValidationError: the key has expired.
    """
    key.expires_at = bounded_expiry(key.expires_at, now)
    if key.is_expired(now):
        raise ValidationError(
            _("API key %(api_key)s has expired. Change its expiry or revoke it, then try again."),
            code="key_expired",
            params={"api_key": key.api_key},
        )
    check_reach(key, by)
    keep = bool(key.secret_digest and grace)
    key.previous_digest = key.secret_digest if keep else ""
    key.previous_expires_at = now + grace if keep else None
    key.previous_used_at = None
    secret = crypto.generate_api_secret()
    key.secret_digest = crypto.make_digest(secret)
    key.rotated_at = now
    return GeneratedKeys(key.api_key, secret, key)
