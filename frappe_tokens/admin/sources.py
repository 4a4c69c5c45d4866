"""API access on the pages of a source of keys: a mixin for the ModelAdmin of your own model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.utils import flatten_fieldsets
from django.db import router
from django.db.models import Field
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .. import policy
from ..base_models import POLICIES, AbstractApiKey
from ..keys import (
    Actor,
    GeneratedKeys,
    Plan,
    change_key,
    change_user,
    check_as_new,
    check_reach,
    check_target,
    default_expiry,
    generate_keys_for_source,
    lock_rows,
    lock_users,
    locked_key,
    plan_for_row,
    revoke,
    transaction_for,
)
from ..ui import RevokeForm
from .disabling import DISABLE, ENABLE, switch_for
from .generating import GENERATE, KEY_FIELDS, REFUSED, REQUESTS, part
from .key_list import KeyListMixin
from .readable import READABLE, ReadableMixin
from .source_forms import CREDENTIALS, KeyForm, guarded, label_parts, list_field, posted_in_rows
from .usage.summary import may_see_requests, usage_of_key

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldGroups, _FieldsetSpec

GRACE, REVOKE = "api_access_grace", "api_access_revoke"
SECTION = (*KEY_FIELDS, GRACE, GENERATE, REFUSED, DISABLE, ENABLE, REVOKE, REQUESTS)
DIGESTS = {"secret_digest", "previous_digest"}
MaybeKey: TypeAlias = AbstractApiKey | None


class ApiKeySourceMixin(ReadableMixin, KeyListMixin):
    """Adds *API Access*, the policies and *Generate Keys* to a ModelAdmin of a source of keys.

    ``class EventConsumerAdmin(ApiKeySourceMixin, admin.ModelAdmin): ...``

    The model's own permissions decide who sees its rows, adds them and changes the project's
    fields. Generating, revoking, and changing the policies or the user of a row also require
    permission to generate keys and to manage those of the row's user. A revoked row is read-only.
    A row that has had a secret can't be deleted, because the log refers to it, unless you override
    ``has_delete_permission``.
    """

    api_access_grace = part("grace", _("Old secret"))
    api_access_revoke = part("revoke", _("Revocation"), "revoke")

    def get_urls(self) -> list[URLPattern]:
        return [self._path_of("revoke", self.revoke_view), *super().get_urls()]

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # Like UserAdmin for passwords: a filter would reveal a digest letter by letter.
        return not DIGESTS & set(lookup.split("__")) and super().lookup_allowed(
            lookup, value, request
        )

    def has_add_permission(self, request: HttpRequest) -> bool:
        may_generate = self.has_generate_keys_permission(request)
        return may_generate and super().has_add_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: MaybeKey = None) -> bool:
        return Actor.of(request).is_known and super().has_view_permission(request, obj)

    def has_change_permission(self, request: HttpRequest, obj: MaybeKey = None) -> bool:
        allowed = Actor.of(request).is_known and super().has_change_permission(request, obj)
        return allowed and not (obj is not None and obj.is_revoked)

    def has_delete_permission(self, request: HttpRequest, obj: MaybeKey = None) -> bool:
        # Rows stay for the log. They are only deleted with their user, on a page of the users.
        if obj is not None and obj.secret_digest and self._is_own_page(request):
            return False
        return Actor.of(request).is_known and super().has_delete_permission(request, obj)

    def _is_own_page(self, request: HttpRequest) -> bool:
        match = request.resolver_match
        return match is not None and (match.url_name or "").startswith(self._url_name_of(""))

    @admin.display(description=_("Requests"))
    def api_access_requests(self, key: AbstractApiKey) -> str:
        return usage_of_key(key, self.admin_site)

    def api_access(self, obj: AbstractApiKey) -> Mapping[str, object]:
        return {"key": obj, "latest": obj}

    def get_fields(self, request: HttpRequest, obj: MaybeKey = None) -> _FieldGroups:
        fields = super().get_fields(request, obj)
        # Unless the project chooses the fields, ours have their own sections.
        own = {*POLICIES, *SECTION} if not self.fields else ()
        return [name for name in fields if name not in own]

    def get_fieldsets(self, request: HttpRequest, obj: MaybeKey = None) -> _FieldsetSpec:
        fieldsets = [*super().get_fieldsets(request, obj)]
        named = flatten_fieldsets(fieldsets)
        if obj is not None:
            fieldsets.append((_("API Access"), {"fields": self._section_fields(request, obj)}))
        if policies := [name for name in POLICIES if name not in named]:
            fieldsets.append((_("Policies"), {"fields": policies}))
        return self.readable(request, obj, fieldsets)

    def _section_fields(self, request: HttpRequest, key: AbstractApiKey) -> tuple[str, ...]:
        """Return the fields of the section, with the buttons that the user may press."""
        actor = Actor.of(request)
        fields = [*KEY_FIELDS]
        if key.previous_digest and not policy.has_ended(key.previous_expires_at, timezone.now()):
            fields.append(GRACE)
        if not key.is_revoked and actor.has_permission_for(key.user):
            fields.append(GENERATE if actor.may_manage(key.user) else REFUSED)
            fields += [*switch_for(key, actor), REVOKE]
        if may_see_requests(request):
            fields.append(REQUESTS)
        return tuple(fields)

    def get_readonly_fields(self, request: HttpRequest, obj: MaybeKey = None) -> list[str]:
        is_managed = obj is None or Actor.of(request).may_manage(obj.user)
        closed = () if is_managed else CREDENTIALS
        return [*super().get_readonly_fields(request, obj), *SECTION, *READABLE.values(), *closed]

    def formfield_for_dbfield(
        self, db_field: Field[Any, Any], request: HttpRequest, **kwargs: Any
    ) -> forms.Field | None:
        field = list_field(db_field.name, request) or super().formfield_for_dbfield(
            db_field, request, **kwargs
        )
        if db_field.name == "expires_at":
            label_parts(field)
        return field

    def get_form(
        self, request: HttpRequest, obj: MaybeKey = None, change: bool = False, **kwargs: Any
    ) -> type[KeyForm]:
        return guarded(super().get_form(request, obj, change, **kwargs), request)

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> type[KeyForm]:
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
        alias, actor = router.db_for_write(self.model), Actor.of(request)
        with transaction_for(alias):
            lock_users([])  # SQLite: before the first read
            # Lock all users and rows of the list at once: each form would lock its own, in the
            # order of the list (see lock_users).
            pks = posted_in_rows(request.POST, self.model._meta.pk)
            new = posted_in_rows(request.POST, self.model._meta.get_field("user"))
            keys = self.model._base_manager.using(alias).filter(pk__in=pks)
            lock_users([*new, *keys.values_list("user", flat=True)], actor)
            lock_rows(self.model, keys, actor)
            return super().changelist_view(request, *args, **kwargs)

    def save_model(
        self, request: HttpRequest, obj: AbstractApiKey, form: KeyForm, change: bool
    ) -> None:
        actor = Actor.of(request, history=False)  # Django writes the row's
        if not change:
            if obj.user is not None:
                check_target(obj.user, actor)
                check_as_new(obj, actor)
            obj.created_by = actor.user
            chosen = [name for name in POLICIES if getattr(obj, name)]
            obj.expires_at = obj.expires_at or default_expiry(timezone.now())
            actor.narrow(obj, chosen)
            check_reach(obj, actor)
            super().save_model(request, obj, form, change)
            return
        user = obj.user
        policies = {name: getattr(obj, name) for name in POLICIES if name in form.changed_data}
        with locked_key(obj, actor) as stored:
            # Keep our fields as stored: the secret may have changed since the form was loaded.
            for field in AbstractApiKey._meta.fields:
                setattr(obj, field.attname, getattr(stored, field.attname))
            super().save_model(request, obj, form, change)
            if user != stored.user:
                change_user(obj, user, by=actor)
            if policies:
                change_key(obj, by=actor, **policies)

    def revoke_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for a reason. POST revokes."""
        key = self._get_live_object(request, object_id)
        form = RevokeForm(request.POST or None)
        back_url = self._url_of("change", key)
        if request.method == "POST" and form.is_valid():
            revoke(key, reason=form.cleaned_data["reason"], by=Actor.of(request))
            text = gettext("Revoked API key %(api_key)s.") % {"api_key": key.api_key}
            self.message_user(request, text, messages.SUCCESS)
            return HttpResponseRedirect(back_url)
        title = _("Revoke API key")
        return self.render_page(request, "revoke_key", title, back_url, key, key=key, form=form)

    def _plan(
        self, objects: Sequence[AbstractApiKey], actor: Actor, *, lock: bool, may_renew: bool
    ) -> list[Plan]:
        if lock:
            rows = lock_rows(self.model, objects, actor)
        else:
            # From the database for writing keys: a replica may not know yet that this form was
            # already sent.
            stored = self.model._base_manager.using(router.db_for_write(self.model))
            rows = stored.select_related("user").in_bulk([row.pk for row in objects])
        actor.preload(row.user for row in rows.values())
        found = [rows[row.pk] for row in objects if row.pk in rows]
        return [plan_for_row(row, actor, may_renew=may_renew) for row in found]

    def _generate(
        self, plans: Sequence[Plan], actor: Actor, options: Mapping[str, Any]
    ) -> list[GeneratedKeys]:
        keys = [plan.key for plan in plans if plan.key is not None]
        actor = actor.changing(len(keys))
        return [generate_keys_for_source(key, by=actor, **options) for key in keys]
