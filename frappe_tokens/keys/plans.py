"""Previews what a generation would do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.models import AnonymousUser
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Max
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import policy
from ..base_models import AbstractApiKey
from ..db import in_batches
from ..models import ApiKey
from ..types import User
from .actors import Actor, check_reach, check_target
from .number import is_too_many, numbers_of


@dataclass(frozen=True, slots=True)
class Plan:
    """What generating keys for a user, or for a row of a source, would do.

    Attributes:
        subject: the user or the row.
        user: the owner of the key; None for a row that has none.
        key: the existing key, which gets a new secret; None if a key would be created.
        blocked_by: a sentence that says why it's impossible; "" if it's possible.
    """

    subject: object
    user: Any
    key: AbstractApiKey | None
    blocked_by: str

    @property
    def version(self) -> str:
        """Changes with every generation, to detect a form that is submitted twice."""
        key = None if self.key is None else (self.key.pk, self.key.rotated_at)
        state = (getattr(self.user, "pk", None), key, bool(self.blocked_by))
        return hashlib.sha256(repr(state).encode()).hexdigest()

    @property
    def rotates(self) -> bool:
        """Whether a secret is replaced. Otherwise the first one is generated."""
        return self.key is not None and bool(self.key.secret_digest)

    @property
    def ends_older_secret(self) -> bool:
        """Whether a secret stops working before the end of its grace period."""
        ends = self.key.previous_expires_at if self.key is not None else None
        return ends is not None and not policy.has_ended(ends, timezone.now())


def plan_for(users: Iterable[Any], actor: Actor, name: str = "", *, may_renew: bool) -> list[Plan]:
    """Return a plan for each of ``users``, with a few queries per batch.

    With ``may_renew``, expired keys aren't blocked, because the form asks for a later expiry.
    """
    # A replica may not know yet that this form was submitted before.
    keys_now = ApiKey.objects.stored().filter(name=name, live=True)
    plans = []
    for batch in in_batches(users):
        actor.preload(batch)
        live = keys_now.filter(user__in=[user.pk for user in batch]).order_by()
        keys = {key.user_id: key for key in live}
        numbers = numbers_of(user.pk for user in batch if user.pk not in keys)
        for user in batch:
            key = keys.get(user.pk)
            problem = _blocked_by(user, key, actor, may_renew)
            if not problem and is_too_many(numbers[user.pk] + 1) and key is None:
                problem = _("The user can't have another key. Revoke one first.")
            plans.append(Plan(user, user, key, problem))
    return plans


def plan_for_row(row: AbstractApiKey, actor: Actor, *, may_renew: bool) -> Plan:
    """Return a plan for a row of a source. ``may_renew``: as for :func:`plan_for`."""
    return Plan(row, row.user, row, _blocked_by(row.user, row, actor, may_renew))


def version_for_new_key(user: User | AnonymousUser) -> str:
    """Return a value that changes with every new key of ``user``, even if it's revoked again.

    The form for new keys contains it, to detect that it is submitted twice.
    """
    newest = ApiKey.objects.stored().filter(user_id=user.pk).aggregate(Max("pk"))
    return hashlib.sha256(repr((user.pk, newest)).encode()).hexdigest()


def _blocked_by(
    user: User | None, key: AbstractApiKey | None, actor: Actor, may_renew: bool
) -> str:
    if key is not None and key.is_revoked:
        return _("This API key was revoked, which is final. Generate a new key.")
    if user is None:
        return _("First choose the user that the key runs as.")
    try:
        check_target(user, actor)
        if key is not None:
            check_reach(key, actor)
    except PermissionDenied as error:
        return str(error)
    except ValidationError as error:
        return error.messages[0]
    if key is not None and key.is_disabled:
        return _("The API key is disabled. Enable it, then try again.")
    if key is not None and key.is_expired() and not may_renew:
        return _("The API key has expired. Rotate it alone, with a later expiry, or revoke it.")
    return ""
