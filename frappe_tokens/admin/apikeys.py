"""The API keys' own pages: add, narrow, rotate, revoke."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.contrib.auth import get_user_model
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ..base_models import POLICIES
from ..keys import GeneratedKeys, Plan, change_key, create_key, lock_users, plan_for
from ..models import ApiKey
from .generating import generate_page, generated_page
from .key_filters import StateFilter
from .key_forms import ApiKeyForm
from .log_entries import actor_of
from .revoking import revoke_page
from .usage.summary import may_see_requests, usage_of_key
from .users import api_access_media

# ModelAdmin takes a type argument for the type checker only.
if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[ApiKey]
else:
    _ModelAdmin = admin.ModelAdmin

STATES = ("api_key", "state", "created_at", "created_by", "rotated_at")
USE = ("last_used_at", "last_used_ip")
REQUESTS = "requests"
GRACE = ("previous_expires_at", "previous_used_at")
# The attribute of a request that takes what was generated from save_model to response_add.
GENERATED = "_frappe_tokens_generated"

REVOCATION = ("revoked_at", "revoked_by", "revoked_reason")


class ApiKeyAdmin(_ModelAdmin):
    """Whoever may generate keys may see, add, narrow, rotate and revoke them here."""

    form = ApiKeyForm
    change_form_template = "frappe_tokens/admin/api_key_change_form.html"
    list_display = ["api_key", "user", "name", "state", "limits", "last_used_at"]
    list_filter = [StateFilter, "read_only"]
    list_select_related = ["user"]
    raw_id_fields = ["user"]

    @property
    def media(self) -> Any:
        return super().media + api_access_media()

    @admin.display(description=gettext_lazy("state"))
    def state(self, key: ApiKey) -> str:
        if key.is_revoked:
            return _("Revoked")
        return _("Expired") if key.is_expired() else _("Active")

    @admin.display(description=gettext_lazy("limits"))
    def limits(self, key: ApiKey) -> str:
        limits = [
            _("read-only") if key.read_only else "",
            " ".join(key.scopes),
            " ".join(key.allowed_ips),
            key.rate_limit,
        ]
        return "; ".join(limit for limit in limits if limit)

    @admin.display(description=gettext_lazy("requests"))
    def requests(self, key: ApiKey) -> str:
        return usage_of_key(key, self.admin_site)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["api_key", "name", f"user__{get_user_model().USERNAME_FIELD}"]

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        """Search for the user where the project's admin of users can, else ask for the id."""
        if not self.admin_site.is_registered(get_user_model()):
            return []
        users = self.admin_site.get_model_admin(get_user_model())
        searchable = users.get_search_fields(request) and users.has_view_permission(request)
        return ["user"] if searchable else []

    def get_fieldsets(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        policies = (_("Policies"), {"fields": POLICIES})
        if obj is None:
            return [(None, {"fields": ("user", "name")}), policies]
        sections = [(None, {"fields": ("user", "name", *STATES)}), policies]
        if obj.previous_digest:
            sections.append((_("Old secret"), {"fields": GRACE}))
        requests = [REQUESTS] if may_see_requests(request) else []
        sections.append((_("Use"), {"fields": (*USE, *requests)}))
        if obj.is_revoked:
            sections.append((_("Revocation"), {"fields": REVOCATION}))
        return sections

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> Any:
        always = (*STATES, *GRACE, *USE, REQUESTS, *REVOCATION)
        return always if obj is None else ("user", *always)

    def get_form(
        self, request: HttpRequest, obj: ApiKey | None = None, change: bool = False, **kwargs: Any
    ) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        form.actor = actor_of(request)
        return form

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # As UserAdmin does for passwords: a filter would tell a digest letter by letter.
        if lookup.startswith(("secret_digest", "previous_digest")):
            return False
        return super().lookup_allowed(lookup, value, request)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        actor = actor_of(request)
        return actor.may_generate or (actor.is_known and super().has_view_permission(request, obj))

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may_generate

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        actor = actor_of(request)
        if obj is None:
            return actor.may_generate
        return not obj.is_revoked and actor.may_manage(obj.user)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Keys are revoked, and their rows stay for the log. Only with their user do they go.
        match = request.resolver_match
        if match is not None and (match.url_name or "").startswith("frappe_tokens_apikey"):
            return False
        return super().has_delete_permission(request, obj)

    def get_urls(self) -> list[URLPattern]:
        wrap = self.admin_site.admin_view
        return [
            path(
                "<path:object_id>/generate-keys/",
                wrap(self.generate_keys_view),
                name="frappe_tokens_apikey_generate_keys",
            ),
            path(
                "<path:object_id>/revoke/",
                wrap(self.revoke_view),
                name="frappe_tokens_apikey_revoke",
            ),
            *super().get_urls(),
        ]

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, object_id, form_url, extra_context)
        with transaction.atomic(using=router.db_for_write(ApiKey)):
            lock_users([])  # SQLite: before the first read
            return super().changeform_view(request, object_id, form_url, extra_context)

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        key = context.get("original")
        # Ending a leaked key comes first, so a key that one may not manage can be revoked as well.
        context["may_revoke"] = (
            key is not None and not key.is_revoked and actor_of(request).may_generate
        )
        return super().render_change_form(request, context, *args, **kwargs)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, Any] | None = None,
    ) -> HttpResponse:
        # After adding comes the page with the secret, whichever button it was.
        one_button = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **one_button})

    def save_model(self, request: HttpRequest, obj: ApiKey, form: Any, change: bool) -> None:
        if change:
            changes = {name: form.cleaned_data[name] for name in form.changed_data}
            change_key(obj, by=actor_of(request), **changes)
            return
        policies = {name: form.cleaned_data[name] for name in POLICIES}
        generated = create_key(obj.user, name=obj.name, by=actor_of(request), **policies)
        obj.pk = generated.instance.pk
        obj.refresh_from_db()
        setattr(request, GENERATED, generated)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """The secret, in the answer to the form itself: a redirect would have to store it."""
        generated: GeneratedKeys = getattr(request, GENERATED)
        plan = Plan(obj.user, obj.name, obj, "")
        return generated_page(self, request, [generated], self._change_url(obj), plan=plan)

    def generate_keys_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """A new secret for this key: GET asks, POST generates and shows it once."""
        key = self._live_key(request, object_id)
        (plan,) = plan_for([key.user], actor_of(request), key.name)
        return generate_page(self, request, plan, self._change_url(key))

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for a reason, POST revokes."""
        key = self._live_key(request, object_id)
        return revoke_page(self, request, key, self._change_url(key))

    def _live_key(self, request: HttpRequest, object_id: str) -> ApiKey:
        if not actor_of(request).may_generate:
            raise PermissionDenied
        key = self.get_object(request, unquote(object_id))
        if key is None or key.is_revoked:
            raise Http404(_("There is no such API key, or it was revoked."))
        return key

    def _change_url(self, key: ApiKey) -> str:
        name = f"{self.admin_site.name}:frappe_tokens_apikey_change"
        return reverse(name, args=(quote(key.pk),))
