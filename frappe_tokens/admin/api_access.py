"""API access on the pages of users: for Django's stock UserAdmin, and as a mixin for your own.

The pages of keys share :class:`ApiAccessBase`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

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
from .log_entries import actor_of
from .usage.summary import may_see_requests, usage_of_user

# For the type checker a mixin of ModelAdmin; at run time any class that comes before one.
if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec

    ModelAdminMixin = admin.ModelAdmin[Any]
else:
    ModelAdminMixin = object

# The style and the script of our pages.
MEDIA = Media(css={"all": ["frappe_tokens/admin.css"]}, js=["frappe_tokens/admin.js"])

KEY_FIELDS = ("api_access_key", "api_access_state", "api_access_last_used")
GENERATE, REFUSED = "api_access_generate", "api_access_refused"
REQUESTS = "api_access_requests"


class ApiAccessBase(ModelAdminMixin):
    """A ModelAdmin with the section *API Access* and the action *Generate Keys*."""

    key_generator: ClassVar[type[KeyGenerator]]

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        # Subclasses usually replace ``actions`` of the class. None: the project wants no actions.
        if self.actions is not None and "generate_keys" not in self.actions:
            self.actions = [*self.actions, "generate_keys"]

    @property
    def media(self) -> Media:
        return super().media + MEDIA

    def get_urls(self) -> list[URLPattern]:
        return [
            self._path_of("generate_keys", self.generate_keys_view),
            *super().get_urls(),
        ]

    def has_generate_keys_permission(self, request: HttpRequest) -> bool:
        """Django calls this before it offers or runs the action."""
        return actor_of(request).may_generate

    @abstractmethod
    def api_access(self, obj: Any) -> Mapping[str, object]:
        """Return the context of the section's templates.

        That is the ``key``, and the ``latest`` one, which may be revoked.
        """

    @admin.display(description=_("API Key"))
    def api_access_key(self, obj: Model) -> str:
        return self._render_part("key", obj)

    @admin.display(description=_("State"))
    def api_access_state(self, obj: Model) -> str:
        return self._render_part("state", obj)

    @admin.display(description=_("Last used"))
    def api_access_last_used(self, obj: Model) -> str:
        return self._render_part("last_used", obj)

    @admin.display(description=_("API Secret"))
    def api_access_generate(self, obj: Model) -> str:
        return self._render_part("generate", obj, url=self._url_of("generate_keys", obj))

    @admin.display(description=_("API Secret"))
    def api_access_refused(self, obj: Model) -> str:
        return str(BEYOND_RIGHTS)

    def generate_keys_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for confirmation. POST generates and shows the secret once."""
        obj = self._get_live_object(request, object_id)
        return self.key_generator(self, request).page(obj, self._url_of("change", obj))

    @admin.action(permissions=["generate_keys"], description=_("Generate Keys"))
    def generate_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Ask for confirmation, then show all secrets on one page."""
        objects = [obj for obj in queryset if self.has_view_or_change_permission(request, obj)]
        return self.key_generator(self, request).action_page(objects)

    def _get_live_object(self, request: HttpRequest, object_id: str) -> Any:
        if not actor_of(request).may_generate:
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None or (isinstance(obj, AbstractApiKey) and obj.is_revoked):
            raise Http404
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return obj

    def _render_part(self, part: str, obj: Model, **context: object) -> str:
        template = f"frappe_tokens/admin/api_access_{part}.html"
        return render_to_string(template, {**self.api_access(obj), **context})

    def _path_of(self, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
        """Return the URL pattern of a page about one object."""
        route = f"<path:object_id>/{name.replace('_', '-')}/"
        return path(route, self.admin_site.admin_view(view), name=self._url_name_of(name))

    def _url_of(self, name: str, obj: Model) -> str:
        url_name = f"{self.admin_site.name}:{self._url_name_of(name)}"
        return reverse(url_name, args=(quote(obj.pk),))

    def _url_name_of(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"


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

    key_generator = KeysOfUsers

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
        # Read once for all rows of the section, and stored on the instance that the page shows.
        loaded = vars(obj)
        if "_api_access" not in loaded:
            keys = list(ApiKey.objects.filter(user=obj).order_by("-pk"))
            live = [key for key in keys if key.live]
            key = next((key for key in live if not key.name), None)
            loaded["_api_access"] = {
                "key": key,
                "latest": key or next((key for key in keys if not key.name), None),
                "named": [key for key in live if key.name],
            }
        context: Mapping[str, object] = loaded["_api_access"]
        return context
