"""Guards for the toolkit's pages in the admin.

Requests run as the user of an application (client credentials) or of a token. So anyone who may
change that field, the client's secret or a stored token may act as any user. These mixins close the
pages to those who could not make an API key of the same user.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.admin.sites import all_sites
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from oauth2_provider import models

from frappe_tokens.admin.log_entries import actor_of, log_on
from frappe_tokens.keys import Actor, allow_application, is_application_allowed

from .application_changes import (
    check_change,
    has_other_user,
    is_superuser,
    may_change,
    stored_application,
)

# For the type checker mixins of ModelAdmin and ModelForm; at run time any class after them.
if TYPE_CHECKING:
    _AdminBase = admin.ModelAdmin[Any]
    _FormBase = forms.ModelForm[Any]
else:
    _AdminBase = _FormBase = object

# Columns that hold what a client sends as proof.
SECRETS = {"client_secret", "token", "code", "device_code", "user_code"}

# What the checkbox on an application's page posts: the primary key of the user.
ALLOW = "_allow_to_run"


class _SecretsMixin(_AdminBase):
    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest) -> bool:
        # As UserAdmin does for passwords: a filter would reveal a secret letter by letter.
        return not SECRETS & set(lookup.split("__")) and super().lookup_allowed(
            lookup, value, request
        )


class OAuthTokenAdminMixin(_SecretsMixin):
    """For the ModelAdmins of grants and tokens: only superusers may add or change them."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return is_superuser(actor_of(request)) and super().has_add_permission(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return is_superuser(actor_of(request)) and super().has_change_permission(request, obj)


class OAuthApplicationAdminMixin(_SecretsMixin):
    """For the ModelAdmin of applications.

    An application that has a user may be changed by those who may make API keys of this user. They
    alone see its secret, and decide that it may run as this user. Only superusers may let an
    application skip the authorization, and change one that does.
    """

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or may_change(obj, actor_of(request))
        )

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> Any:
        readonly = [*super().get_readonly_fields(request, obj)]
        return readonly if obj is None else [*readonly, self._state_field(request, obj)]

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        fieldsets = [*super().get_fieldsets(request, obj)]
        if obj is None:
            return fieldsets
        if not self.has_change_permission(request, obj):
            # Not hashed, it would let those who only look act as the user.
            fieldsets = [
                (name, {**options, "fields": _without_secret(options["fields"])})
                for name, options in fieldsets
            ]
        state = self._state_field(request, obj)
        if state not in flatten_fieldsets(fieldsets):
            fieldsets.append((None, {"fields": [state]}))
        return fieldsets

    def get_form(
        self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any
    ) -> Any:
        return _guarded(super().get_form(request, obj, change, **kwargs), request)

    def get_changelist_form(self, request: HttpRequest, **kwargs: Any) -> Any:
        return _guarded(super().get_changelist_form(request, **kwargs), request)

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        actor = actor_of(request)
        with transaction.atomic(using=router.db_for_write(self.model)):
            stored = stored_application(obj, lock=True)
            check_change(stored, obj.user, obj.skip_authorization, actor)
            super().save_model(request, obj, form, change)
            if obj.user is None or not obj.user.is_active:
                return
            # Never because somebody else had set the user when they saved another field.
            ticked = request.POST.get(ALLOW) == str(obj.user_id)
            if ticked or has_other_user(stored, obj.user):
                allow_application(obj, by=actor)
                log_on(self, request, f"Allowed to run as {obj.user.get_username()}.", obj)

    @admin.display(description=_("Runs as its user"))
    def run_state(self, application: Any) -> str:
        return _render_state(application)

    @admin.display(description=_("Runs as its user"))
    def run_state_with_checkbox(self, application: Any) -> str:
        return _render_state(application, offer=True)

    def _state_field(self, request: HttpRequest, application: Any) -> str:
        may_change = self.has_change_permission(request, application)
        return "run_state_with_checkbox" if may_change else "run_state"


class _ApplicationFormMixin(_FormBase):
    """Added to the form of the page and of the list."""

    actor: Actor

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.has_changed():  # in a list, the rows that somebody touched
            instance = self.instance
            user = cleaned.get("user") if "user" in self.fields else instance.user
            skips = cleaned.get("skip_authorization", instance.skip_authorization)
            try:
                check_change(stored_application(instance), user, skips, self.actor)
            except PermissionDenied as error:
                self.add_error(None, str(error))
        return cleaned


def guard(site: AdminSite) -> None:
    """Register the toolkit's models on ``site`` again, with a guard for each ModelAdmin."""
    for model, model_admin in list(site._registry.items()):
        mixin = guard_for(model)
        if mixin is not None and not isinstance(model_admin, mixin):
            registered = type(model_admin)
            site.unregister(model)
            site.register(model, type(registered.__name__, (mixin, registered), {}))


def guard_all() -> None:
    """Guard every site that there is, the toolkit's own registrations included."""
    import_module("oauth2_provider.admin")  # it may come after ours
    for site in list(all_sites):
        guard(site)


def guard_for(model: Any) -> Any:
    """The mixin that the ModelAdmin of ``model`` needs; None where it needs none."""
    if issubclass(model, models.AbstractApplication):
        return OAuthApplicationAdminMixin
    tokens = (
        models.AbstractAccessToken,
        models.AbstractRefreshToken,
        models.AbstractIDToken,
        models.AbstractGrant,
        models.AbstractDeviceGrant,
    )
    return OAuthTokenAdminMixin if issubclass(model, tokens) else None


def _guarded(form: Any, request: HttpRequest) -> Any:
    return type(form.__name__, (_ApplicationFormMixin, form), {"actor": actor_of(request)})


def _without_secret(fields: Any) -> list[Any]:
    return [
        _without_secret(name) if isinstance(name, list | tuple) else name
        for name in fields
        if name != "client_secret"
    ]


def _render_state(application: Any, *, offer: bool = False) -> str:
    user = application.user
    context = {
        "user": user,
        "allowed": is_application_allowed(application),
        "offer": offer and user is not None and user.is_active,
        "name": ALLOW,
        "value": str(application.user_id),  # never with thousand separators
    }
    return render_to_string("frappe_tokens/admin/oauth_run_state.html", context)
