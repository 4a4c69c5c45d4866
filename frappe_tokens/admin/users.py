"""API access on the pages of users: for Django's stock UserAdmin, and as a mixin for your own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..keys import (
    GeneratedKeys,
    Plan,
    generate_keys,
    generate_keys_for_users,
    lock_users,
    plan_for,
)
from ..models import ApiKey
from ..types import User
from .api_access import GENERATE, KEY_FIELDS, REFUSED, REQUESTS, ApiAccessBase
from .generating import KeyGenerator
from .log_entries import actor_of
from .usage.summary import may_see_requests, usage_of_user

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec


class KeysOfUsers(KeyGenerator):
    """Generates the unnamed key of each user."""

    key_model = ApiKey
    gone = _("This user no longer exists.")

    def plan(self, objects: Iterable[User]) -> list[Plan]:
        return plan_for(objects, self.actor)

    def plan_again(self, plans: list[Plan]) -> list[Plan]:
        locked = lock_users([plan.user.pk for plan in plans], self.actor)
        return self.plan([locked[plan.user.pk] for plan in plans if plan.user.pk in locked])

    def generate(self, plans: Sequence[Plan]) -> list[GeneratedKeys]:
        if len(plans) == 1:
            return [generate_keys(plans[0].user, by=self.actor)]
        return generate_keys_for_users([plan.user for plan in plans], by=self.actor)

    def describe(self, keys: GeneratedKeys) -> dict[str, str]:
        return {"user": keys.instance.user.get_username()}


class ApiAccessMixin(ApiAccessBase):
    """Adds the section *API Access* and the action *Generate Keys* to a ModelAdmin of users.

    ``class UserAdmin(ApiAccessMixin, DjangoUserAdmin): ...``

    Both are for those who may generate keys. Those who may only view the request log see the chart
    of the user's requests.
    """

    generator = KeysOfUsers

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> _FieldsetSpec:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        actor = actor_of(request)
        fields: list[str] = []
        if actor.may_generate:
            fields += [*KEY_FIELDS, GENERATE if actor.may_manage(obj) else REFUSED]
        if may_see_requests(request):
            fields.append(REQUESTS)
        return [*fieldsets, (_("API Access"), {"fields": tuple(fields)})] if fields else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        readonly = super().get_readonly_fields(request, obj)
        return [*readonly, *KEY_FIELDS, GENERATE, REFUSED, REQUESTS]

    @admin.display(description=_("Requests"))
    def api_access_requests(self, user: User) -> str:
        return usage_of_user(user, self.admin_site)

    def api_access(self, obj: User) -> Mapping[str, object]:
        # Read once for all rows of the section.
        context: Mapping[str, object] | None = getattr(obj, "_api_access", None)
        if context is None:
            keys = list(ApiKey.objects.filter(user=obj).order_by("-pk"))
            live = [key for key in keys if key.live]
            key = next((key for key in live if not key.name), None)
            context = {
                "key": key,
                "latest": key or next((key for key in keys if not key.name), None),
                "named": [key for key in live if key.name],
            }
            obj._api_access = context  # type: ignore[attr-defined]
        return context
