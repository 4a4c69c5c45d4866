"""What is asked for when keys are generated, and what that makes of one key."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from . import crypto
from .actors import Actor, check_reach, check_widening
from .base_models import AbstractApiKey
from .conf import conf
from .crypto import Secret
from .models import ApiKey
from .validation import bounded_expiry, check_grace, clean_name, clean_policies, default_expiry

SECRET_FIELDS = (
    "secret_digest",
    "previous_digest",
    "previous_expires_at",
    "previous_used_at",
    "rotated_at",
)


@dataclass(frozen=True, slots=True)
class GeneratedKeys:
    """What was made. ``api_secret`` is here and nowhere else, ever; ``repr()`` hides it."""

    api_key: str
    api_secret: Secret = field(repr=False)
    instance: AbstractApiKey

    @property
    def token(self) -> Secret:
        """``<api_key>:<api_secret>``, as the Authorization header takes it."""
        return Secret(f"{self.api_key}:{self.api_secret}")

    @property
    def header(self) -> Secret:
        """The header of a request, ready to copy."""
        return Secret(f"Authorization: token {self.token}")


@dataclass(frozen=True, slots=True)
class Terms:
    """What was asked for, checked: the rules are here once, for one key and for many.

    Attributes:
        name: which of a user's keys.
        policies: those that were named, by the name of their field.
        grace: how long a replaced secret goes on working.
        by: who asks; None is trusted code.
    """

    name: str
    policies: dict[str, Any]
    grace: timedelta
    by: Actor | None

    @classmethod
    def of(
        cls,
        name: str,
        grace: timedelta | None,
        expires_at: datetime | None,
        scopes: Iterable[str],
        read_only: bool,
        allowed_ips: Iterable[str],
        rate_limit: str,
        by: Actor | None,
    ) -> Terms:
        """The terms of :func:`frappe_tokens.keys.generate_keys`.

        Raises:
            ValidationError: an argument is not usable.
        """
        return cls(
            clean_name(name),
            clean_policies(expires_at, scopes, read_only, allowed_ips, rate_limit),
            grace_or_default(grace),
            by,
        )

    def of_new_key(self, now: datetime) -> dict[str, Any]:
        """What a key begins with that is made ``now``, by the attributes' names."""
        by = self.by.user if self.by is not None else None
        return {
            "name": self.name,
            "created_at": now,
            # Nobody, and whoever is not signed in, is refused later: where there is a user.
            "created_by_id": getattr(by, "pk", None),
            "expires_at": default_expiry(now),
        }

    @sensitive_variables()
    def fulfil(self, user: Any, key: ApiKey, now: datetime) -> GeneratedKeys:
        """Give ``key`` a new secret. Nothing is saved yet.

        Args:
            user: whose key it is; locked.
            key: the live key of this name, as stored now, or a new one.
            now: the present time, the same for all keys of a call.

        Raises:
            PermissionDenied: who asks may not widen the key, or came with a narrower one.
            ValidationError: the key has expired.
        """
        if key._state.adding and self.by is not None:
            self.by.narrow(key, self.policies)
        before = key.policies
        key.user = user
        for field_name, value in self.policies.items():
            # Each its own list, so that changing one key's changes no other's.
            setattr(key, field_name, copy.copy(value))
        if key._state.adding:
            # Its first one; MAX_LIFETIME bounds it.
            before["expires_at"] = key.expires_at
        check_widening(before, key, self.by)
        return renew(key, self.grace, now, self.by)

    @property
    def writes(self) -> tuple[str, ...]:
        """The fields that :meth:`fulfil` changes of a key which exists."""
        return (*sorted({"expires_at", *self.policies}), *SECRET_FIELDS)


def grace_or_default(grace: timedelta | None) -> timedelta:
    """``grace`` or ``ROTATION_GRACE``.

    Raises:
        ValidationError: an old secret may not go on working for so long.
    """
    return conf.ROTATION_GRACE if grace is None else check_grace(grace)


@sensitive_variables()
def renew(key: AbstractApiKey, grace: timedelta, now: datetime, by: Actor | None) -> GeneratedKeys:
    """Give ``key``, of any source, a new secret. Nothing is saved yet.

    Args:
        key: the key as stored now.
        grace: how long the secret that it has goes on working.
        now: the present time.
        by: who asks; None is trusted code.

    Raises:
        PermissionDenied: the request of ``by`` came with a narrower key.
        ValidationError: the key has expired.
    """
    key.expires_at = bounded_expiry(key.expires_at, now)
    if key.is_expired(now):
        raise ValidationError(
            _(
                "The API key %(api_key)s has expired. Give it a later expiry or revoke it, "
                "then generate again."
            ),
            code="key_expired",
            params={"api_key": key.api_key},
        )
    check_reach(key, by)
    if key.secret_digest and grace:
        key.previous_digest = key.secret_digest
        key.previous_expires_at = now + grace
    else:
        key.previous_digest = ""
        key.previous_expires_at = None
    key.previous_used_at = None
    secret = crypto.generate_api_secret()
    key.secret_digest = crypto.make_digest(secret)
    key.rotated_at = now
    return GeneratedKeys(key.api_key, secret, key)
