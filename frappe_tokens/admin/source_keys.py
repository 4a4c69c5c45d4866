"""Generates secrets for the rows of a source, for the pages that ask for confirmation."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..base_models import AbstractApiKey
from ..db import in_batches
from ..keys import (
    Actor,
    GeneratedKeys,
    Plan,
    check_reach,
    check_target,
    generate_keys_for_source,
    lock_rows,
)
from .generating import KeyGenerator

# Rows per SELECT.
BATCH_SIZE = 500


@dataclass(frozen=True, slots=True)
class RowPlan(Plan):
    """What generating for one row would do. ``key`` is the row."""

    key: AbstractApiKey

    @property
    def subject(self) -> object:
        return self.key

    @property
    def version(self) -> str:
        """A hash that changes with every generation, and if the row gets another user."""
        key = self.key
        state = (key.pk, key.user_id, key.rotated_at, bool(self.blocked_by))
        return hashlib.sha256(repr(state).encode()).hexdigest()


class KeysOfSource(KeyGenerator):
    """Generates a secret for each row of the ModelAdmin's model."""

    gone = gettext_lazy("This API key no longer exists.")

    def __init__(self, model_admin: ModelAdmin[AbstractApiKey], request: HttpRequest) -> None:
        super().__init__(model_admin, request)
        self.key_model = model_admin.model

    def plan(self, objects: Iterable[AbstractApiKey]) -> list[Plan]:
        # From the database that keys are written to: a replica may not know yet that this very form
        # was already sent.
        alias = router.db_for_write(self.key_model)
        stored = self.key_model._base_manager.using(alias).select_related("user")
        plans: list[Plan] = []
        for batch in in_batches([row.pk for row in objects], BATCH_SIZE):
            rows = stored.in_bulk(batch)
            self.actor.preload(row.user for row in rows.values())
            plans += [plan_for_row(rows[pk], self.actor) for pk in batch if pk in rows]
        return plans

    def plan_again(self, plans: list[Plan]) -> list[Plan]:
        keys = [plan.key for plan in plans if plan.key is not None]
        rows = lock_rows(self.key_model, keys, self.actor)
        self.actor.preload(row.user for row in rows.values())
        return [plan_for_row(rows[key.pk], self.actor) for key in keys if key.pk in rows]

    def generate(self, plans: Sequence[Plan]) -> list[GeneratedKeys]:
        keys = [plan.key for plan in plans if plan.key is not None]
        return [generate_keys_for_source(key, by=self.actor) for key in keys]

    def describe(self, keys: GeneratedKeys) -> dict[str, str]:
        key = keys.instance
        return {str(key._meta.model_name): str(key), "user": key.user.get_username()}


def plan_for_row(row: AbstractApiKey, actor: Actor) -> RowPlan:
    """Return what generating for ``row`` would do."""
    return RowPlan(row.user, "", row, _blocked_by(row, actor))


def _blocked_by(row: AbstractApiKey, actor: Actor) -> str:
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
        return _("The API key has expired. Change its expiry on its page, or revoke it.")
    return ""
