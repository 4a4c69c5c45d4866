"""What the pages of users and of keys share: the section *API Access* and *Generate Keys*."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
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
from ..keys import BEYOND_RIGHTS
from .generating import KeyGenerator
from .log_entries import actor_of

# For the type checker a mixin of ModelAdmin; at run time any class that comes before one.
if TYPE_CHECKING:
    ModelAdminMixin = admin.ModelAdmin[Any]
else:
    ModelAdminMixin = object

# The style and the script of our pages.
MEDIA = Media(css={"all": ["frappe_tokens/admin.css"]}, js=["frappe_tokens/admin.js"])

KEY_FIELDS = ("api_access_key", "api_access_state", "api_access_last_used")
GENERATE, REFUSED = "api_access_generate", "api_access_refused"
REQUESTS = "api_access_requests"


class ApiAccessBase(ModelAdminMixin):
    """A ModelAdmin with the section *API Access* and the action *Generate Keys*.

    Attributes:
        generator: generates keys for the objects of the ModelAdmin.
    """

    generator: ClassVar[type[KeyGenerator]]

    def __init__(self, model: type[Model], admin_site: AdminSite) -> None:
        super().__init__(model, admin_site)
        # Not in ``actions`` of the class, which a subclass usually replaces. None means that the
        # project wants no actions.
        if self.actions is not None and "generate_keys" not in self.actions:
            self.actions = [*self.actions, "generate_keys"]

    @property
    def media(self) -> Media:
        return super().media + MEDIA

    def get_urls(self) -> list[URLPattern]:
        return [self._page("generate_keys", self.generate_keys_view), *super().get_urls()]

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
        return self._render("key", obj)

    @admin.display(description=_("State"))
    def api_access_state(self, obj: Model) -> str:
        return self._render("state", obj)

    @admin.display(description=_("Last used"))
    def api_access_last_used(self, obj: Model) -> str:
        return self._render("last_used", obj)

    @admin.display(description=_("API Secret"))
    def api_access_generate(self, obj: Model) -> str:
        return self._render("generate", obj, url=self._url("generate_keys", obj))

    @admin.display(description=_("API Secret"))
    def api_access_refused(self, obj: Model) -> str:
        return str(BEYOND_RIGHTS)

    def generate_keys_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for confirmation. POST generates and shows the secret once."""
        obj = self._get_live_object(request, object_id)
        return self.generator(self, request).page(obj, self._url("change", obj))

    @admin.action(permissions=["generate_keys"], description=_("Generate Keys"))
    def generate_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Ask for confirmation, then show all secrets on one page."""
        objects = [obj for obj in queryset if self.has_view_or_change_permission(request, obj)]
        return self.generator(self, request).action_page(objects)

    def _get_live_object(self, request: HttpRequest, object_id: str) -> Any:
        if not actor_of(request).may_generate:
            raise PermissionDenied
        obj = self.get_object(request, unquote(object_id))
        if obj is None or (isinstance(obj, AbstractApiKey) and obj.is_revoked):
            raise Http404
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return obj

    def _render(self, part: str, obj: Model, **context: object) -> str:
        template = f"frappe_tokens/admin/api_access_{part}.html"
        return render_to_string(template, {**self.api_access(obj), **context})

    def _page(self, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
        """Return the URL pattern of a page about one object."""
        route = f"<path:object_id>/{name.replace('_', '-')}/"
        return path(route, self.admin_site.admin_view(view), name=self._url_name(name))

    def _url(self, name: str, obj: Model) -> str:
        url_name = f"{self.admin_site.name}:{self._url_name(name)}"
        return reverse(url_name, args=(quote(obj.pk),))

    def _url_name(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"
