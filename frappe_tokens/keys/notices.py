"""Emails users about their keys that expire soon or are unused, once for each key and period.

Each run claims a notice by inserting a :class:`~frappe_tokens.models.SentNotice`, and commits after
sending the email. A parallel run waits for the commit, and then leaves the key out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db import IntegrityError, router, transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Coalesce
from django.db.models.lookups import LessThanOrEqual
from django.utils import timezone

from ..base_models import AbstractApiKey, KeyState
from ..db import in_batches
from ..models import SentNotice
from ..signals import key_expiring, key_unused
from ..types import User
from .mail import send

EXPIRING, LAST_DAY, UNUSED = "expiring", "last_day", "unused"

# In hours, not by calendar day: a key must not expire between the runs of two days.
_DAY = timedelta(days=1)

# How long notices are kept that can't be sent again: longer than any run takes, which may have read
# the keys before they changed.
KEPT_FOR = timedelta(days=30)

# Small, because keys may change while emails are sent.
BATCH_SIZE = 100  # users


class Notice(NamedTuple):
    """Something to tell a user about a ``key``.

    Attributes:
        source: the label of the key's source.
        api_key: the API key.
        kind: ``expiring``, ``last_day`` or ``unused``.
        about: when the key expires, or since when it is unused.
        key: the key, without its digests.
    """

    source: str
    api_key: str
    kind: str
    about: datetime
    key: AbstractApiKey

    @property
    def claim(self) -> tuple[str, str, str, datetime]:
        """The unique fields of its ``SentNotice``."""
        return self[:4]


def expiring_within(period: timedelta, now: datetime) -> Q:
    """Return the condition for keys that expire soon."""
    return Q(expires_at__gt=now, expires_at__lte=now + period)


def unused_for(period: timedelta, now: datetime) -> Q:
    """Return the condition for keys last used that long ago.

    For a key that was never used, the time its secret was generated counts: a row of a source may
    have been created long before.
    """
    used = Coalesce("last_used_at", "rotated_at", "created_at")
    return Q(LessThanOrEqual(used, now - period))


class DueNotices:
    """The notices that are due now, user by user.

    Args:
        models: the sources, each table once.
        expiring: how soon keys expire; zero: no such notices.
        unused: how long keys have been unused; zero: no such notices.
    """

    def __init__(
        self, models: Collection[type[AbstractApiKey]], expiring: timedelta, unused: timedelta
    ) -> None:
        self._models = models
        self._periods = (expiring, unused)
        self._now = timezone.now()
        pks: set[Any] = set()
        for model in models:
            pks.update(self._keys(model).order_by().values_list("user", flat=True).distinct())
        # Sorted, so that a parallel run only waits at the first users.
        self.users = sorted(pks)

    def __iter__(self) -> Iterator[tuple[User | None, list[Notice]]]:
        """Yield each of ``users``, with the notices that weren't sent yet.

        The user is None if they or their keys were deleted meanwhile.
        """
        for batch in in_batches(self.users, BATCH_SIZE):
            users: dict[object, User] = {}
            found: list[Notice] = []
            for model in self._models:
                for key in self._keys(model).filter(user__in=batch).select_related("user"):
                    users[key.user_id] = key.user
                    found += self._notices(key)
            sent = _sent(found)
            unsent: defaultdict[object, list[Notice]] = defaultdict(list)
            # Sorted, so that parallel claims don't deadlock.
            for notice in sorted(found, key=lambda notice: notice.claim):
                if notice.claim not in sent:
                    unsent[notice.key.user_id].append(notice)
            for pk in batch:
                yield users.get(pk), unsent[pk]

    def _keys(self, model: type[AbstractApiKey]) -> QuerySet[AbstractApiKey]:
        expiring, unused = self._periods
        wanted = expiring_within(expiring, self._now)
        if unused:
            wanted |= unused_for(unused, self._now)
        keys: QuerySet[AbstractApiKey] = (
            model._base_manager.using(router.db_for_write(model))
            .filter(KeyState("active").condition(), wanted, user__isnull=False)
            # A source's row without a secret can't be used.
            .exclude(secret_digest="")  # nosec B106 # the digest of none
            .defer("secret_digest", "previous_digest")
        )
        return keys

    def _notices(self, key: AbstractApiKey) -> Iterator[Notice]:
        (expiring, unused), now = self._periods, self._now
        label = key.cache_label()
        if key.expires_at is not None and key.expires_at <= now + expiring:
            kind = LAST_DAY if key.expires_at <= now + _DAY else EXPIRING
            yield Notice(label, key.api_key, kind, key.expires_at, key)
        since = _unused_since(key)
        if unused and since <= now - unused:
            yield Notice(label, key.api_key, UNUSED, since, key)


def _unused_since(key: AbstractApiKey) -> datetime:
    return key.last_used_at or key.rotated_at or key.created_at


def _sent(notices: list[Notice]) -> set[tuple[str, str, str, datetime]]:
    """Return the claims of all notices sent about these keys."""
    sent: set[tuple[str, str, str, datetime]] = set()
    claims = SentNotice.objects.using(router.db_for_write(SentNotice))
    for batch in in_batches(dict.fromkeys(notice.api_key for notice in notices)):
        found = claims.filter(api_key__in=batch)
        sent.update(found.values_list("source", "api_key", "kind", "about"))
    return sent


def send_notices(user: User, notices: list[Notice]) -> list[Notice]:
    """Email ``user``, who has an address, about all ``notices`` that no parallel run claims.

    Returns:
        The notices in the email. If there are none, no email was sent.

    Raises:
        Exception: the database, a template or the mail server failed. Nothing was claimed.
    """
    alias = router.db_for_write(SentNotice)
    with transaction.atomic(using=alias):
        claimed = [notice for notice in notices if _claim(notice, alias)]
        if claimed:
            _announce(claimed, alias)
            send(user, "notice", context_of(claimed))
    return claimed


def context_of(notices: list[Notice]) -> dict[str, list[Notice]]:
    """Return the notices ``expiring`` and ``unused``, for the templates."""
    notices = sorted(notices, key=lambda notice: notice.about)
    return {
        "expiring": [notice for notice in notices if notice.kind != UNUSED],
        "unused": [notice for notice in notices if notice.kind == UNUSED],
    }


def _claim(notice: Notice, alias: str) -> bool:
    """Whether this run may send ``notice``. Waits for a parallel run that has claimed it."""
    source, api_key, kind, about = notice.claim
    try:
        with transaction.atomic(using=alias):
            SentNotice.objects.create(source=source, api_key=api_key, kind=kind, about=about)
    except IntegrityError:
        return False
    return True


def _announce(notices: list[Notice], alias: str) -> None:
    # With a savepoint: a receiver's failed query must not undo the claims.
    with transaction.atomic(using=alias):
        for notice in notices:
            signal = key_unused if notice.kind == UNUSED else key_expiring
            signal.send_robust(sender=type(notice.key), instance=notice.key)


def prune_notices(models: Collection[type[AbstractApiKey]]) -> int:
    """Delete notices that have been over for ``KEPT_FOR``, and return how many.

    One is over if it can't be sent again: the key has passed the expiry, was used again, or was
    revoked or deleted. An expired key may be renewed, and is then as unused as before.
    """
    ended = timezone.now() - KEPT_FOR
    notices = SentNotice.objects.using(router.db_for_write(SentNotice))
    expired = notices.exclude(kind=UNUSED).filter(about__lte=ended)
    over: list[Any] = list(expired.values_list("pk", flat=True))
    old = notices.filter(sent_at__lte=ended)
    for model in models:
        stored = model._base_manager.using(router.db_for_write(model)).only(
            "api_key", "last_used_at", "rotated_at", "created_at", "revoked_at"
        )
        of_model = old.filter(source=model.cache_label())
        for batch in in_batches(of_model.values_list("pk", "api_key", "about")):
            found = stored.filter(api_key__in={api_key for _, api_key, _ in batch})
            keys = {key.api_key: key for key in found}
            for pk, api_key, about in batch:
                if _is_over(keys.get(api_key), about, ended):
                    over.append(pk)
    # By their primary keys, in order, so that parallel runs don't lock other rows.
    return sum(notices.filter(pk__in=batch).delete()[0] for batch in in_batches(sorted(over)))


def _is_over(key: AbstractApiKey | None, about: datetime, ended: datetime) -> bool:
    """Whether the key was deleted, or was revoked or used before ``ended`` (after ``about``)."""
    if key is None:
        return True
    if key.revoked_at is not None:
        return key.revoked_at <= ended
    return about < _unused_since(key) <= ended
