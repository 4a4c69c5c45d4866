"""What generating would do, before it is done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext as _

from .. import policy
from ..base_models import AbstractApiKey
from ..db import in_batches
from ..models import ApiKey
from .actors import Actor, check_reach, check_target

# Users whose keys are read with one statement.
BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """What generating for one user and name would do.

    Attributes:
        user: whose key it is.
        name: which of the user's keys.
        key: the live key, which stays and gets a new secret; None where one will be made.
        blocked_by: why it cannot be done, in words; "" where it can.
    """

    user: Any
    name: str
    key: AbstractApiKey | None
    blocked_by: str

    @property
    def subject(self) -> Any:
        """What a page calls the key by."""
        return self.user

    @property
    def version(self) -> str:
        """Changes with every generation, so that a form which was sent already is told."""
        key = (self.key.pk, self.key.rotated_at) if self.key else None
        state = (self.user.pk, self.name, key, bool(self.blocked_by))
        return hashlib.sha256(repr(state).encode()).hexdigest()

    @property
    def ends_older_secret(self) -> bool:
        """Whether a secret that is in its grace stops working before its time."""
        if self.key is None or self.key.previous_expires_at is None:
            return False
        return not policy.has_ended(self.key.previous_expires_at, timezone.now())


def plan_for(users: Iterable[Any], actor: Actor, name: str = "") -> list[Plan]:
    """A plan for each of ``users``, with one query for the keys of every ``BATCH_SIZE`` of them."""
    # From where they are written: a replica may not know yet that this very form was sent already.
    keys_now = ApiKey.objects.using(router.db_for_write(ApiKey)).filter(name=name, live=True)
    plans = []
    for batch in in_batches(users, BATCH_SIZE):
        actor.preload(batch)
        live = keys_now.filter(user__in=[user.pk for user in batch]).order_by()
        keys = {key.user_id: key for key in live}
        for user in batch:
            key = keys.get(user.pk)
            plans.append(Plan(user, name, key, _blocked_by(user, key, actor)))
    return plans


def version_for_new_key(user: Any) -> str:
    """Changes with every key that is made for ``user``, whatever has become of them since.

    The form of a new key carries it: where that form is sent a second time, a key of its name may
    have been revoked already, and the name be free again.
    """
    keys_now = ApiKey.objects.using(router.db_for_write(ApiKey)).filter(user_id=user.pk)
    newest = keys_now.order_by("-pk").values_list("pk", flat=True).first()
    return hashlib.sha256(repr((user.pk, newest)).encode()).hexdigest()


def _blocked_by(user: Any, key: ApiKey | None, actor: Actor) -> str:
    try:
        check_target(user, actor)
        if key is not None:
            check_reach(key, actor)
    except PermissionDenied as error:
        return str(error)
    except ValidationError as error:
        return " ".join(error.messages)
    if key is not None and key.is_expired():
        return _("The API key has expired. Give it a later expiry under API keys, or revoke it.")
    return ""
