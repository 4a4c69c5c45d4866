"""API access on the pages of users: for Django's stock UserAdmin, and as a mixin for your own.

The pages of keys share :class:`ApiAccessBase`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _

from ..base_models import AbstractApiKey
from ..keys import (
    BEYOND_RIGHTS,
    Actor,
    GeneratedKeys,
    Plan,
    generate_keys,
    generate_keys_for_users,
    lock_users,
    plan_for,
)
from ..models import ApiKey
from ..types import User
from .generating import KeyGenerator
from .usage.summary import may_see_requests, usage_of_user

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec
    from django.utils.functional import _StrPromise

# The style and the script of our pages.
MEDIA = Media(css={"all": ["frappe_tokens/admin.css"]}, js=["frappe_tokens/admin.js"])

KEY_FIELDS = ("api_access_key", "api_access_state", "api_access_last_used")
GENERATE, REFUSED = "api_access_generate", "api_access_refused"
REQUESTS = "api_access_requests"


def part(name: str, label: _StrPromise, page: str = "") -> Callable[[Any, Model], str]:
    """Return a field of the section, which a template shows, with the URL of a ``page`` if any."""

    @admin.display(description=label)
    def render(model_admin: ApiAccessBase, obj: Model) -> str:
        context = {**model_admin.api_access(obj), "url": page and model_admin._url_of(page, obj)}
        return render_to_string(f"frappe_tokens/admin/api_access_{name}.html", context)

    return render


class ApiAccessBase(KeyGenerator):
    """A ModelAdmin with the section *API Access* and the action *Generate Keys*."""

    api_access_key = part("key", _("API Key"))
    api_access_state = part("state", _("State"))
    api_access_last_used = part("last_used", _("Last used"))
    api_access_generate = part("generate", _("API Secret"), "generate_keys")

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        # Subclasses usually replace ``actions`` of the class. None: the project wants no actions.
        if self.actions is not None and "generate_keys" not in self.actions:
            self.actions = [*self.actions, "generate_keys"]

    @property
    def media(self) -> Media:
        return super().media + MEDIA

    def get_urls(self) -> list[URLPattern]:
        return [self._path_of("generate_keys", self.generate_keys_view), *super().get_urls()]

    def has_generate_keys_permission(self, request: HttpRequest) -> bool:
        """Django calls this before it offers or runs the action."""
        return Actor.of(request).may_generate

    @abstractmethod
    def api_access(self, obj: Any) -> Mapping[str, object]:
        """Return the context of the section's templates.

        That is the ``key``, and the ``latest`` one, which may be revoked.
        """

    @admin.display(description=_("API Secret"))
    def api_access_refused(self, obj: Model) -> str:
        return str(BEYOND_RIGHTS)

    def generate_keys_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for confirmation. POST generates and shows the secret once."""
        obj = self._get_live_object(request, object_id)
        back_url = self._url_of("change", obj)
        return self.generate_or_confirm(request, [obj], back_url, is_action=False)

    @admin.action(permissions=["generate_keys"], description=_("Generate Keys"))
    def generate_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Ask for confirmation, then show all secrets on one page."""
        objects = [obj for obj in queryset if self.has_view_or_change_permission(request, obj)]
        return self.generate_or_confirm(request, objects, request.get_full_path(), is_action=True)

    def _get_live_object(self, request: HttpRequest, object_id: str) -> Any:
        if not Actor.of(request).may_generate:
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None or (isinstance(obj, AbstractApiKey) and obj.is_revoked):
            raise Http404
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return obj

    def _path_of(self, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
        """Return the URL pattern of a page about one object."""
        route = f"<path:object_id>/{name.replace('_', '-')}/"
        return path(route, self.admin_site.admin_view(view), name=self._url_name_of(name))

    def _url_of(self, name: str, obj: Model) -> str:
        url_name = f"{self.admin_site.name}:{self._url_name_of(name)}"
        return reverse(url_name, args=(quote(obj.pk),))

    def _url_name_of(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"


class ApiAccessMixin(ApiAccessBase):
    """Adds the section *API Access* and the action *Generate Keys* to a ModelAdmin of users.

    ``class UserAdmin(ApiAccessMixin, DjangoUserAdmin): ...``

    Both are for those who may generate keys: each user's key without a name. Those who may only
    view the request log see the chart of the user's requests.
    """

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> _FieldsetSpec:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        actor = Actor.of(request)
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
        # Read once for all rows of the section, and stored on the instance that the page shows.
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

    def _plan(self, objects: Sequence[User], actor: Actor, *, lock: bool) -> list[Plan]:
        if lock:
            locked = lock_users([user.pk for user in objects], actor)
            objects = [locked[user.pk] for user in objects if user.pk in locked]
        return plan_for(objects, actor)

    def _generate(self, plans: Sequence[Plan], actor: Actor) -> list[GeneratedKeys]:
        if len(plans) == 1:
            return [generate_keys(plans[0].user, by=actor)]
        return generate_keys_for_users([plan.user for plan in plans], by=actor)
