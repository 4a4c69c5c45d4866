"""API access on the pages of a source of keys: a mixin for the ModelAdmin of your own model."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets, unquote
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ...base_models import POLICIES, AbstractApiKey
from ...keys import (
    change_key,
    change_user,
    check_reach,
    check_target,
    default_expiry,
    lock_rows,
    lock_users,
    locked_key,
    transaction_for,
)
from ..generating import generate_page, generate_selected_page
from ..key_filters import StateFilter
from ..key_forms import ApiKeyForm
from ..log_entries import actor_of
from ..revoking import revoke_page
from ..usage.summary import may_see_requests
from ..users import api_access_media
from .source_forms import CREDENTIALS, guarded, posted_in_rows
from .source_keys import KeysOfSource, plan_for_rows
from .source_section import SECTION, SourceSectionMixin, section_of

# For the type checker a mixin of ModelAdmin; at run time any class that comes before one.
if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = object

DIGESTS = {"secret_digest", "previous_digest"}


class ApiKeySourceMixin(SourceSectionMixin, _Base):
    """Adds *API Access*, the policies and *Generate Keys* to a ModelAdmin of a source of keys.

    ``class EventConsumerAdmin(ApiKeySourceMixin, admin.ModelAdmin): ...``

    The model's own permissions say who sees its rows, adds them and changes the fields of the
    project. Generating, revoking, the policies and the user that a row runs as are besides for
    those who may generate keys and may manage those of the row's user. A revoked row is
    read-only, and a row that has had a secret stays, for the log, unless you override
    ``has_delete_permission``.
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
        wrap = self.admin_site.admin_view
        return [
            path(
                "<path:object_id>/generate-keys/",
                wrap(self.generate_keys_view),
                name=self.url_name("generate_keys"),
            ),
            path(
                "<path:object_id>/revoke/",
                wrap(self.revoke_view),
                name=self.url_name("revoke"),
            ),
            *super().get_urls(),
        ]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # As UserAdmin does for passwords: a filter would tell a digest letter by letter.
        return not DIGESTS & set(lookup.split("__")) and super().lookup_allowed(
            lookup, value, request
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        return actor_of(request).may_generate and super().has_add_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return actor_of(request).is_known and super().has_view_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        revoked = obj is not None and obj.is_revoked
        allowed = actor_of(request).is_known and super().has_change_permission(request, obj)
        return allowed and not revoked

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        # Rows stay for the log. Only with their user do they go, and that is no page of ours.
        match = request.resolver_match
        ours = match is not None and (match.url_name or "").startswith(self.url_name(""))
        if ours and obj is not None and obj.secret_digest:
            return False
        return actor_of(request).is_known and super().has_delete_permission(request, obj)

    def has_generate_keys_permission(self, request: HttpRequest) -> bool:
        """Asked by Django before it offers or runs the action."""
        return actor_of(request).may_generate

    def get_list_display(self, request: HttpRequest) -> Any:
        shown = super().get_list_display(request)
        ours = ("api_key", "key_state", "last_used_at")
        return [*shown, *(name for name in ours if name not in shown)]

    def get_list_filter(self, request: HttpRequest) -> Any:
        return [*super().get_list_filter(request), StateFilter]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        if self.fields:
            return super().get_fields(request, obj)
        # They are in sections of their own.
        ours = {*POLICIES, *SECTION}
        return [name for name in super().get_fields(request, obj) if name not in ours]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = [*super().get_fieldsets(request, obj)]
        named = flatten_fieldsets(fieldsets)
        if obj is not None:
            section = section_of(obj, actor_of(request), may_see_requests(request))
            fieldsets.append((_("API Access"), {"fields": section}))
        policies = [name for name in POLICIES if name not in named]
        if policies:
            fieldsets.append((_("Policies"), {"fields": policies}))
        return fieldsets

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        managed = obj is None or actor_of(request).may_manage(obj.user)
        closed = () if managed else CREDENTIALS
        return [*super().get_readonly_fields(request, obj), *SECTION, *closed]

    def formfield_for_dbfield(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        if db_field.name in ("scopes", "allowed_ips"):
            return copy.deepcopy(ApiKeyForm.base_fields[db_field.name])
        return super().formfield_for_dbfield(db_field, request, **kwargs)

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return guarded(super().get_form(request, obj, change, **kwargs), request)

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return guarded(super().get_changelist_form(request, **kwargs), request)

    def changeform_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if request.method != "POST":
            return super().changeform_view(request, *args, **kwargs)
        with transaction_for(router.db_for_write(self.model)):
            lock_users([])  # SQLite: before the first read
            return super().changeform_view(request, *args, **kwargs)

    def changelist_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if "_save" not in request.POST:
            return super().changelist_view(request, *args, **kwargs)
        with transaction_for(router.db_for_write(self.model)):
            lock_users([])  # SQLite: before the first read
            self._lock_posted(request)
            return super().changelist_view(request, *args, **kwargs)

    def _lock_posted(self, request: HttpRequest) -> None:
        """Lock the rows of a list that is saved, their users and the new ones, in one go.

        Each form would lock its own, in the order of the list: see lock_users.
        """
        keys = self.model._base_manager.using(router.db_for_write(self.model)).filter(
            pk__in=posted_in_rows(request.POST, self.model._meta.pk)
        )
        new = posted_in_rows(request.POST, self.model._meta.get_field("user"))
        lock_users([*new, *keys.values_list("user", flat=True)], actor_of(request))
        lock_rows(self.model, keys, actor_of(request))

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        actor = actor_of(request)
        if not change:
            if obj.user is not None:
                check_target(obj.user, actor)
            obj.created_by = request.user
            chosen = [name for name in POLICIES if getattr(obj, name)]
            obj.expires_at = obj.expires_at or default_expiry(timezone.now())
            actor.narrow(obj, chosen)
            check_reach(obj, actor)
            super().save_model(request, obj, form, change)
            return
        user = obj.user
        policies = {name: getattr(obj, name) for name in POLICIES if name in form.changed_data}
        with locked_key(obj, actor) as stored:
            # Ours as they are now: the secret above all may be another since the form was read.
            for field in AbstractApiKey._meta.fields:
                setattr(obj, field.attname, getattr(stored, field.attname))
            super().save_model(request, obj, form, change)
            if user != stored.user:
                change_user(obj, user, by=actor)
            if policies:
                change_key(obj, by=actor, **policies)

    def generate_keys_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page behind the button: GET asks, POST generates and shows the secret once."""
        key = self._live_row(request, object_id)
        (plan,) = plan_for_rows(self, [key], actor_of(request))
        return generate_page(self, request, plan, self.url_of("change", key), KeysOfSource)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for a reason, POST revokes."""
        key = self._live_row(request, object_id)
        return revoke_page(self, request, key, self.url_of("change", key))

    @admin.action(permissions=["generate_keys"], description=_("Generate Keys"))
    def generate_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """The action: a confirmation, and then one page with all the secrets."""
        rows = [row for row in queryset if self.has_view_or_change_permission(request, row)]
        plans = plan_for_rows(self, rows, actor_of(request))
        across = request.POST.get("select_across") == "1"
        return generate_selected_page(
            self, request, plans, request.get_full_path(), across, KeysOfSource
        )

    def _live_row(self, request: HttpRequest, object_id: str) -> Any:
        if not actor_of(request).may_generate:
            raise PermissionDenied
        row = self.get_object(request, unquote(object_id))
        if row is None or row.is_revoked:
            raise Http404(_("There is no such API key, or it was revoked."))
        if not self.has_view_or_change_permission(request, row):
            raise PermissionDenied
        return row
