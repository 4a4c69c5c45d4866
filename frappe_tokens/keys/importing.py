"""Imports keys from a Frappe site or another app. Their secrets keep working."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from .. import audit, crypto
from ..db import in_batches, insert_rows
from ..models import ApiKey
from ..signals import keys_generated
from .announcements import announce_generated
from .cleaning import default_expiry
from .import_checks import Checks, ImportedPair, Problem
from .locking import LOCK_SIZE, lock_users

# Lines per statement.
BATCH_SIZE = 250

# The next attempt shows the rest.
MOST_PROBLEMS = 20

# Thirty-two hexadecimal digits are 128 bits. A shorter secret can be guessed from a stolen digest
# without a pepper.
SHORT_SECRET_LENGTH = 32

Reader = Callable[[], Generator[ImportedPair | Problem, None, None]]


class Imported(NamedTuple):
    """How many ``keys`` were imported for how many ``users``; ``short`` secrets need a pepper."""

    keys: int
    users: int
    short: int


@sensitive_variables()
def import_keys(read: Reader, *, dry_run: bool = False) -> Imported:
    """Store keys that were generated elsewhere, all of them or none.

    Only for trusted code, because it can set any secret for anyone, including superusers.

    Args:
        read: a generator function for the lines of the list. It is called twice, to check and to
            write, so that a long list isn't held in memory.
        dry_run: only check.

    Raises:
        ValidationError: its ``messages`` say what is wrong with the first ``MOST_PROBLEMS`` lines.
            Nothing was imported.
    """
    alias = router.db_for_write(ApiKey)
    checks = Checks(alias)
    problems: list[Problem] = []
    short = 0
    with closing(read()) as rows:
        for batch in in_batches(rows, BATCH_SIZE):
            pairs, wrong = checks.check(batch, checks.users_by_name)
            short += sum(len(pair.api_secret) < SHORT_SECRET_LENGTH for pair, _user in pairs)
            problems += wrong
            if len(problems) >= MOST_PROBLEMS:
                break
    _refuse(problems)
    if not checks.line_of_key:
        raise ValidationError(_("There are no keys to import."), code="no_keys")
    if not dry_run:
        try:
            with transaction.atomic(using=alias):
                _write(read, checks, alias)
        except (IntegrityError, OperationalError) as error:
            # Someone else stored the same API key or name, or the database ended a deadlock.
            raise ValidationError(
                _("Keys changed in the meantime, or the database failed. Import again."),
                code="changed",
            ) from error
    return Imported(len(checks.line_of_key), len(set(checks.users.values())), short)


@sensitive_variables()
def _write(read: Reader, checks: Checks, alias: str) -> None:
    _lock(set(checks.users.values()))
    now = timezone.now()
    expires_at = default_expiry(now)
    written = 0
    with closing(read()) as rows:
        for batch in in_batches(rows, BATCH_SIZE):
            # Again, now that the users are locked.
            pairs, problems = checks.check(batch, checks.locked_users)
            _refuse(problems)
            # In one order, to avoid deadlocks with another import of the same keys.
            pairs.sort(key=lambda checked: checked[0].api_key)
            keys = [_key(pair, user, now, expires_at) for pair, user in pairs]
            insert_rows(keys, "api_key", alias)
            written += len(keys)
            _announce_after_commit(keys, alias)
    if written != len(checks.line_of_key):
        raise ValidationError(
            _("The list changed while it was read. Import again."), code="changed"
        )


def _lock(pks: set[Any]) -> None:
    """Lock all the users before the first key is written."""
    # In batches, to hold fewer users in memory. Only the database knows the order of others than
    # numbers.
    ordered = all(isinstance(pk, int) for pk in pks)
    for batch in in_batches(sorted(pks), LOCK_SIZE) if ordered else [pks]:
        lock_users(batch)


@sensitive_variables()
def _key(pair: ImportedPair, user: Any, now: datetime, expires_at: datetime | None) -> ApiKey:
    return ApiKey(
        user=user,
        name=pair.name,
        api_key=pair.api_key,
        secret_digest=crypto.make_digest(pair.api_secret),
        created_at=now,
        rotated_at=now,
        expires_at=expires_at,
    )


def _announce_after_commit(keys: list[ApiKey], alias: str) -> None:
    if keys_generated.has_listeners(ApiKey) or audit.is_heard():
        # The primary keys of a long list take less memory than the instances.
        announce = partial(_announce, [key.pk for key in keys], alias)
        transaction.on_commit(announce, using=alias, robust=True)


def _announce(pks: list[object], alias: str) -> None:
    keys = ApiKey._base_manager.using(alias).select_related("user").filter(pk__in=pks)
    announce_generated([(key, False) for key in keys.order_by("pk")], None)


def _refuse(problems: Iterable[Problem]) -> None:
    texts = [
        _("line %(line)d: %(problem)s") % {"line": line, "problem": text}
        for line, text in sorted(problems)[:MOST_PROBLEMS]
    ]
    if texts:
        raise ValidationError(texts, code="import")
