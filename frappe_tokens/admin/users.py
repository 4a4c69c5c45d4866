"""API access on the pages of users: for Django's stock UserAdmin, and as a mixin for your own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _

from ..keys import BEYOND_RIGHTS, plan_for
from ..models import ApiKey
from .generating import generate_page, generate_selected_page
from .log_entries import actor_of
from .usage.summary import may_see_requests, usage_of_user

# For the type checker a mixin of ModelAdmin; at run time any class that comes before one.
if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = object

API_ACCESS_FIELDS = ("api_access_key", "api_access_state", "api_access_last_used")
REQUESTS = "api_access_requests"


class ApiAccessMixin(_Base):
    """Adds the section *API Access* and the action *Generate Keys* to a ModelAdmin of users.

    ``class UserAdmin(ApiAccessMixin, DjangoUserAdmin): ...``

    Both are there for those who may generate keys. Who may only view the request log sees the
    picture of the user's requests, and no one else anything.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Here and not as ``actions`` of the class, which a subclass usually sets anew. None means
        # that the project wants no actions.
        if self.actions is not None and "generate_keys" not in self.actions:
            self.actions = [*self.actions, "generate_keys"]

    @property
    def media(self) -> Any:
        return super().media + api_access_media()

    def get_urls(self) -> list[URLPattern]:
        return [
            path(
                "<path:object_id>/generate-keys/",
                self.admin_site.admin_view(self.generate_keys_view),
                name=_url_name(self),
            ),
            *super().get_urls(),
        ]

    def has_generate_keys_permission(self, request: HttpRequest) -> bool:
        """Asked by Django before it offers or runs the action."""
        return actor_of(request).may_generate

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = super().get_fieldsets(request, obj)
        if obj is None:
            return fieldsets
        actor = actor_of(request)
        fields: list[str] = []
        if actor.may_generate:
            may = actor.may_manage(obj)
            button = "api_access_generate" if may else "api_access_refused"
            fields += [*API_ACCESS_FIELDS, button]
        if may_see_requests(request):
            fields.append(REQUESTS)
        return [*fieldsets, (_("API Access"), {"fields": fields})] if fields else fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        return [
            *super().get_readonly_fields(request, obj),
            *API_ACCESS_FIELDS,
            REQUESTS,
            "api_access_generate",
            "api_access_refused",
        ]

    @admin.display(description=_("API Key"))
    def api_access_key(self, user: Any) -> str:
        return _render("key", user, admin_site=self.admin_site)

    @admin.display(description=_("State"))
    def api_access_state(self, user: Any) -> str:
        return _render("state", user)

    @admin.display(description=_("Last used"))
    def api_access_last_used(self, user: Any) -> str:
        return _render("last_used", user)

    @admin.display(description=_("Requests"))
    def api_access_requests(self, user: Any) -> str:
        return usage_of_user(user, self.admin_site)

    @admin.display(description=_("API Secret"))
    def api_access_generate(self, user: Any) -> str:
        url = reverse(f"{self.admin_site.name}:{_url_name(self)}", args=(quote(user.pk),))
        return _render("generate", user, url=url)

    @admin.display(description=_("API Secret"))
    def api_access_refused(self, user: Any) -> str:
        return str(BEYOND_RIGHTS)

    def generate_keys_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page behind the button: GET asks, POST generates and shows the secret once."""
        if not actor_of(request).may_generate:
            raise PermissionDenied
        user = self.get_object(request, unquote(object_id))
        if user is None:
            raise Http404
        if not self.has_view_or_change_permission(request, user):
            raise PermissionDenied
        (plan,) = plan_for([user], actor_of(request))
        opts = self.opts
        back_url = reverse(
            f"{self.admin_site.name}:{opts.app_label}_{opts.model_name}_change",
            args=(quote(user.pk),),
        )
        return generate_page(self, request, plan, back_url)

    @admin.action(permissions=["generate_keys"], description=_("Generate Keys"))
    def generate_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """The action: a confirmation, and then one page with all the secrets."""
        users = [user for user in queryset if self.has_view_or_change_permission(request, user)]
        plans = plan_for(users, actor_of(request))
        across = request.POST.get("select_across") == "1"
        return generate_selected_page(self, request, plans, request.get_full_path(), across)


def api_access_media() -> Media:
    """The style and the script of our pages."""
    return Media(css={"all": ["frappe_tokens/admin.css"]}, js=["frappe_tokens/admin.js"])


def _url_name(model_admin: admin.ModelAdmin[Any]) -> str:
    opts = model_admin.opts
    return f"{opts.app_label}_{opts.model_name}_generate_keys"


def _render(part: str, user: Any, **context: Any) -> str:
    """One row of the section. The key is read once for all of them."""
    if not hasattr(user, "_api_access"):
        keys = list(ApiKey.objects.filter(user=user).order_by("-pk"))
        live = [key for key in keys if key.live]
        user._api_access = {
            "key": next((key for key in live if not key.name), None),
            "revoked": next((key for key in keys if not key.live and not key.name), None),
            "named": [key for key in live if key.name],
        }
    return render_to_string(
        f"frappe_tokens/admin/api_access_{part}.html", {**user._api_access, **context}
    )
