"""Imports keys from a Frappe site or another app. Their secrets keep working."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import NamedTuple

from django.core.exceptions import ValidationError
from django.db import IntegrityError, OperationalError, router, transaction
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..db import in_batches, insert_rows
from ..models import ApiKey
from ..signals import keys_generated
from .announcements import after_commit, announce_generated
from .import_checks import CheckedPair, Checks, ImportedPair, Problem
from .locking import locked_users
from .number import is_too_many, numbers_of
from .options import default_expiry
from .repeating import repeated

# Lines per statement.
BATCH_SIZE = 250

MOST_PROBLEMS = 20


class Imported(NamedTuple):
    """How many ``keys`` were imported for how many ``users``; ``short`` secrets need a pepper."""

    keys: int
    users: int
    short: int


@sensitive_variables()
def import_keys(
    rows: Iterable[ImportedPair | Problem],
    *,
    dry_run: bool = False,
    show_progress: Callable[[int], object] = lambda line: None,
) -> Imported:
    """Store keys that were generated elsewhere, all of them or none.

    Only for trusted code, because it can set any secret for anyone, including superusers.

    Args:
        rows: the lines of the list. Only the digests of their secrets are kept in memory.
        dry_run: only check.
        show_progress: gets the last line of each batch, first as it is checked, then as it is
            written.

    Raises:
        ValidationError: its ``messages`` say what is wrong with the first ``MOST_PROBLEMS`` lines.
            Nothing was imported.
    """
    checks = Checks()
    pairs: list[CheckedPair] = []
    for batch in in_batches(rows, BATCH_SIZE):
        pairs += checks.check(batch)
        show_progress(batch[-1].line)
        if len(checks.problems) >= MOST_PROBLEMS:
            break
    if checks.problems:
        line = _("line %(line)d: %(text)s")
        problems = sorted(checks.problems)[:MOST_PROBLEMS]
        raise ValidationError([line % problem._asdict() for problem in problems])
    if not pairs:
        raise ValidationError(_("There are no keys to import."))
    users = {pair.user_id for pair in pairs}
    if not dry_run:
        try:
            _store(pairs, users, show_progress)
        except (IntegrityError, OperationalError) as error:
            # Meanwhile, the same API key or name was stored, or the database ended a deadlock.
            raise ValidationError(
                _("Keys or users changed in the meantime, or the database failed. Import again."),
                code="changed",
            ) from error
    return Imported(len(pairs), len(users), checks.short)


@repeated
@sensitive_variables()
def _store(
    pairs: list[CheckedPair], users: set[object], show_progress: Callable[[int], object]
) -> None:
    with transaction.atomic(using=router.db_for_write(ApiKey)):
        # All of them before the first key is written.
        if sum(1 for user in locked_users(users) if user.is_active) < len(users):
            raise IntegrityError("users were deleted or deactivated")
        _write(pairs, show_progress)


@sensitive_variables()
def _write(pairs: list[CheckedPair], show_progress: Callable[[int], object]) -> None:
    now = timezone.now()
    expires_at = default_expiry(now)
    for batch in in_batches(pairs, BATCH_SIZE):
        keys = [
            ApiKey(
                user_id=pair.user_id,
                name=pair.name,
                api_key=pair.api_key,
                secret_digest=pair.secret_digest,
                created_at=now,
                rotated_at=now,
                expires_at=expires_at,
                lifetime=None if expires_at is None else expires_at - now,
            )
            for pair in batch
        ]
        insert_rows(keys, "api_key")
        numbers = numbers_of({pair.user_id for pair in batch}, lock=True)
        if any(map(is_too_many, numbers.values())):
            raise IntegrityError("users have other keys now")
        show_progress(batch[-1].line)
        # The primary keys of a long list take less memory than the instances.
        after_commit(
            keys_generated, ApiKey, partial(_announce, [key.pk for key in keys], len(pairs))
        )


def _announce(pks: list[object], total: int) -> None:
    keys = ApiKey.objects.stored().select_related("user").filter(pk__in=pks)
    if generated := [(key, False) for key in keys.order_by("pk")]:
        announce_generated(generated, None, total)
