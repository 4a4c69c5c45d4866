"""API access on the pages of users: for Django's stock UserAdmin, and as a mixin for your own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from ..keys import (
    Actor,
    GeneratedKeys,
    Options,
    Plan,
    generate_keys,
    generate_keys_for_users,
    lock_users,
    plan_for,
)
from ..models import ApiKey
from ..types import User
from .disabling import DISABLE, ENABLE, DisablingMixin, switch_for
from .generating import GENERATE, KEY_FIELDS, REFUSED, REQUESTS
from .usage.summary import may_see_requests, usage_of_user

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec


class ApiAccessMixin(DisablingMixin):
    """Adds the section *API Access* and the action *Generate Keys* to a ModelAdmin of users.

    ``class UserAdmin(ApiAccessMixin, DjangoUserAdmin): ...``

    Staff who may generate keys see both, for each user's unnamed key. Staff who may only view
    the request log see the chart of the user's requests.
    """

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> _FieldsetSpec:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        actor = Actor.of(request)
        fields: list[str] = []
        if actor.has_permission_for(obj):
            fields += [*KEY_FIELDS, GENERATE if actor.may_manage(obj) else REFUSED]
            key: Any = self.api_access(obj)["key"]
            fields += switch_for(key, actor) if key is not None else []
        if may_see_requests(request):
            fields.append(REQUESTS)
        return [*fieldsets, (_("API Access"), {"fields": tuple(fields)})] if fields else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> list[str]:
        readonly = super().get_readonly_fields(request, obj)
        return [*readonly, *KEY_FIELDS, GENERATE, REFUSED, DISABLE, ENABLE, REQUESTS]

    @admin.display(description=_("Requests"))
    def api_access_requests(self, user: User) -> str:
        return usage_of_user(user, self.admin_site)

    def api_access(self, obj: User) -> Mapping[str, object]:
        # Read once for all rows of the section, and kept on the instance that the page shows.
        loaded = vars(obj)
        if "_api_access" not in loaded:
            keys = list(ApiKey.objects.filter(user=obj).order_by("-pk"))
            unnamed = [key for key in keys if not key.name]
            # At most one is live.
            key = next((key for key in unnamed if key.live), None)
            loaded["_api_access"] = {
                "key": key,
                "latest": key or next(iter(unnamed), None),
                "named": [key for key in keys if key.live and key.name],
            }
        context: Mapping[str, object] = loaded["_api_access"]
        return context

    def _plan(
        self, objects: Sequence[User], actor: Actor, *, lock: bool, may_renew: bool
    ) -> list[Plan]:
        if lock:
            locked = lock_users([user.pk for user in objects], actor)
            objects = [locked[user.pk] for user in objects if user.pk in locked]
        return plan_for(objects, actor, may_renew=may_renew)

    def _generate(
        self, plans: Sequence[Plan], actor: Actor, options: Mapping[str, Any]
    ) -> list[GeneratedKeys]:
        given = cast(Options, options)
        if len(plans) == 1:
            return [generate_keys(plans[0].user, by=actor, **given)]
        return generate_keys_for_users([plan.user for plan in plans], by=actor, **given)
