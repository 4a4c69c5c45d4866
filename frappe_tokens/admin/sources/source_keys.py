"""What generating does to the rows of a source, for the pages that ask first."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.utils.translation import gettext as _

from ...conf import conf
from ...db import in_batches
from ...keys import (
    Actor,
    GeneratedKeys,
    Plan,
    check_reach,
    check_target,
    generate_keys_for_source,
    lock_rows,
    transaction_for,
)
from ..generating import KeysOfUsers
from ..log_entries import log_on

# Rows that are read with one statement.
BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class RowPlan(Plan):
    """What generating for one row would do. ``key`` is the row."""

    key: Any

    @property
    def subject(self) -> Any:
        return self.key

    @property
    def version(self) -> str:
        """Changes with every generation, and when the row is to run as another user."""
        key = self.key
        state = (key.pk, key.user_id, key.rotated_at, bool(self.blocked_by))
        return hashlib.sha256(repr(state).encode()).hexdigest()


class KeysOfSource(KeysOfUsers):
    """What the pages generate: a secret for each row of the ModelAdmin's model."""

    def transaction(self) -> AbstractContextManager[Any]:
        return transaction_for(router.db_for_write(self.model_admin.model))

    def plan_again(self, plans: list[Plan]) -> list[Plan]:
        """Lock the rows of ``plans``, their users before them, and plan for them as they are."""
        keys: list[Any] = [plan.key for plan in plans]
        rows = lock_rows(self.model_admin.model, keys, self.actor)
        self.actor.preload(row.user for row in rows.values())
        again: list[Plan] = [
            plan_for_row(rows[key.pk], self.actor) for key in keys if key.pk in rows
        ]
        gone = _("This API key no longer exists.")
        return again or [RowPlan(plan.user, "", plan.key, gone) for plan in plans]

    def generate_one(self, plan: Plan) -> GeneratedKeys:
        key: Any = plan.key
        made = generate_keys_for_source(key, by=self.actor)
        log_on(self.model_admin, self.request, self.note(made), plan.user, key)
        return made

    def generate(self, plans: Sequence[Plan]) -> list[GeneratedKeys]:
        return [self.generate_one(plan) for plan in plans]

    def described(self, made: GeneratedKeys) -> dict[str, str]:
        key = made.instance
        return {str(self.model_admin.opts.model_name): str(key), "user": key.user.get_username()}

    def subject(self, made: GeneratedKeys) -> Any:
        return made.instance

    @property
    def source(self) -> str:
        label = self.model_admin.opts.label_lower
        for name, model in conf.SOURCES.items():
            if model.lower() == label:
                return f"Frappe-Authorization-Source: {name}"
        return ""


def plan_for_rows(model_admin: ModelAdmin[Any], rows: Iterable[Any], actor: Actor) -> list[Plan]:
    """A plan for each of ``rows``, in their order, with one query for every ``BATCH_SIZE``."""
    # From where they are written: a replica may not know yet that this very form was sent already.
    model = model_admin.model
    stored = model._base_manager.using(router.db_for_write(model)).select_related("user")
    plans: list[Plan] = []
    for batch in in_batches([row.pk for row in rows], BATCH_SIZE):
        found = stored.in_bulk(batch)
        actor.preload(row.user for row in found.values())
        plans += [plan_for_row(found[pk], actor) for pk in batch if pk in found]
    return plans


def plan_for_row(row: Any, actor: Actor) -> RowPlan:
    """What generating for ``row`` would do."""
    return RowPlan(row.user, "", row, _blocked_by(row, actor))


def _blocked_by(row: Any, actor: Actor) -> str:
    if row.is_revoked:
        return _("This API key was revoked, which is final. Generate a new key.")
    if row.user is None:
        return _("Choose the user that the key runs as first.")
    try:
        check_target(row.user, actor)
        check_reach(row, actor)
    except PermissionDenied as error:
        return str(error)
    except ValidationError as error:
        return " ".join(error.messages)
    if row.is_expired():
        return _("The API key has expired. Give it a later expiry on its page, or revoke it.")
    return ""
