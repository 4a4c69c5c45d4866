"""Limits the number of a user's keys, by ``MAX_KEYS_PER_USER``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from ..conf import conf
from ..models import ApiKey
from ..types import User
from .locking import locking_read


def check_number(users: Iterable[User]) -> None:
    """Raise ValidationError if any of the locked ``users`` can't have another key."""
    users = list(users)
    numbers = numbers_of([user.pk for user in users], lock=True)
    for user in users:
        if is_too_many(numbers[user.pk] + 1):
            problem = _(
                "User %(user)r can have at most %(most)d API keys that aren't revoked. Revoke one "
                "first, or rotate an existing key."
            )
            params = {"user": user.get_username(), "most": conf.MAX_KEYS_PER_USER}
            raise ValidationError(problem, "too_many_keys", params)


def numbers_of(pks: Iterable[object], *, lock: bool = False) -> Counter[object]:
    """Return how many keys that aren't revoked each user has, if that's limited.

    With ``lock``, as stored now: the transaction's snapshot may be older.
    """
    if conf.MAX_KEYS_PER_USER is None:
        return Counter()
    live = ApiKey.objects.stored().filter(user__in=list(pks), live=True).order_by()
    return Counter((locking_read(live) if lock else live).values_list("user", flat=True))


def is_too_many(number: int) -> bool:
    most = conf.MAX_KEYS_PER_USER
    return most is not None and number > most
