"""Plans of new secrets for the rows of a source, for the pages that ask for confirmation."""

from __future__ import annotations

from dataclasses import dataclass

from django.core.exceptions import PermissionDenied, ValidationError
from django.utils.translation import gettext as _

from ..base_models import AbstractApiKey
from ..keys import Actor, Plan, check_reach, check_target


@dataclass(frozen=True, slots=True)
class RowPlan(Plan):
    """What generating for one row would do. ``key`` is the row."""

    key: AbstractApiKey

    @property
    def subject(self) -> object:
        return self.key


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
