"""Guards the toolkit's pages in the admin.

Requests run as the user of an application (client credentials) or of a token. So anyone who can
change this user, the client's secret or a stored token can act as any user. These mixins close the
pages to users who may not generate an API key for the same user.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.contrib.admin import AdminSite
from django.contrib.admin.sites import all_sites
from django.contrib.admin.utils import flatten_fieldsets
from django.core import checks
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.db.models import Model
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils.translation import gettext_lazy as _
from oauth2_provider import models
from oauth2_provider.models import AbstractApplication as Application

from frappe_tokens.keys import Actor, allow_application, is_application_allowed

from . import application_changes as changes

# Mixins of ModelAdmin and ModelForm for the type checker, plain classes at run time.
if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec

    _AdminBase = admin.ModelAdmin[Application]
    _FormBase = forms.ModelForm[Application]
else:
    _AdminBase = _FormBase = object

# Columns with secrets.
SECRETS = {"client_secret", "token", "code", "device_code", "user_code"}

TOKENS = (
    models.AbstractAccessToken,
    models.AbstractRefreshToken,
    models.AbstractIDToken,
    models.AbstractGrant,
    models.AbstractDeviceGrant,
)

# The name of the checkbox on an application's page. Its value is the primary key of the user.
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
        allowed = super().has_add_permission(request)
        return allowed and changes.is_superuser(Actor.of(request))

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and changes.is_superuser(Actor.of(request))


class OAuthApplicationAdminMixin(_SecretsMixin):
    """For the ModelAdmin of applications.

    Only those who may generate API keys for an application's user may change the application, see
    its secret, and let it run as this user. Only superusers may let an application skip
    authorization, and change one that does.
    """

    def has_change_permission(self, request: HttpRequest, obj: Application | None = None) -> bool:
        return super().has_change_permission(request, obj) and (
            obj is None or changes.may_change(obj, Actor.of(request))
        )

    def get_readonly_fields(
        self, request: HttpRequest, obj: Application | None = None
    ) -> list[str]:
        # Otherwise, anyone who may change a registered client could lift its limits.
        fields = [*super().get_readonly_fields(request, obj), "registration_source"]
        return fields if obj is None else [*fields, self._state_field(request, obj)]

    def get_fieldsets(self, request: HttpRequest, obj: Application | None = None) -> _FieldsetSpec:
        fieldsets = [*super().get_fieldsets(request, obj)]
        shown = flatten_fieldsets(fieldsets)
        if obj is not None and (state := self._state_field(request, obj)) not in shown:
            fieldsets.append((None, {"fields": [state]}))
        return fieldsets

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> Application | None:
        application = super().get_object(request, object_id, from_field)
        if application is not None and not self.has_change_permission(request, application):
            # If it isn't hashed, users who may only view the application could act as its user.
            application.client_secret = ""  # nosec B105 # hides it
        return application

    def get_form(self, request: HttpRequest, *args: Any, **kwargs: Any) -> type[_FormBase]:
        return _guarded(super().get_form(request, *args, **kwargs), request)

    def get_changelist_form(self, request: HttpRequest, **kwargs: object) -> type[_FormBase]:
        return _guarded(super().get_changelist_form(request, **kwargs), request)

    def save_model(
        self, request: HttpRequest, obj: Application, form: _FormBase, change: bool
    ) -> None:
        actor = Actor.of(request)
        with transaction.atomic(using=router.db_for_write(self.model)):
            stored = changes.stored_application(obj, lock=True)
            changes.check_change(stored, obj.user, obj.skip_authorization, actor)
            super().save_model(request, obj, form, change)
            if obj.user is None or not obj.user.is_active:
                return
            # The checkbox names the user, in case someone else has set another one.
            ticked = request.POST.get(ALLOW) == str(obj.user_id)
            if ticked or changes.has_other_user(stored, obj.user):
                allow_application(obj, by=actor)

    @admin.display(description=_("Runs as its user"))
    def run_state(self, application: Application, *, has_checkbox: bool = False) -> str:
        context = {
            "user": application.user,
            "allowed": is_application_allowed(application),
            "has_checkbox": has_checkbox,
            "name": ALLOW,
        }
        return render_to_string("frappe_tokens/admin/oauth_run_state.html", context)

    @admin.display(description=_("Runs as its user"))
    def run_state_with_checkbox(self, application: Application) -> str:
        return self.run_state(application, has_checkbox=True)

    def _state_field(self, request: HttpRequest, application: Application) -> str:
        can_change = self.has_change_permission(request, application)
        return "run_state_with_checkbox" if can_change else "run_state"


class _ApplicationFormMixin(_FormBase):
    """Added to the forms of the page and of the list."""

    actor: Actor

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if self.has_changed():  # the rows of a list that were edited
            instance = self.instance
            user = cleaned.get("user") if "user" in self.fields else instance.user
            skips = cleaned.get("skip_authorization", instance.skip_authorization)
            try:
                changes.check_change(changes.stored_application(instance), user, skips, self.actor)
            except PermissionDenied as error:
                self.add_error(None, str(error))
        return cleaned


def guard(site: AdminSite) -> None:
    """Register the toolkit's models on ``site`` again, with a guard for each ModelAdmin."""
    for model, model_admin in list(site._registry.items()):
        mixin = _guard_for(model)
        if mixin is not None and not isinstance(model_admin, mixin):
            registered = type(model_admin)
            site.unregister(model)
            site.register(model, type(registered.__name__, (mixin, registered), {}))


def guard_all() -> None:
    """Guard every admin site, including the toolkit's own registrations."""
    import_module("oauth2_provider.admin")  # it may come after ours
    for site in list(all_sites):
        guard(site)


def check_admin(**kwargs: object) -> list[checks.CheckMessage]:
    """W012: an admin site has one of the toolkit's models without a guard."""
    return [
        checks.Warning(
            f'The admin site "{site.name}" has {model._meta.label} without a guard: anyone who may '
            "change it there may act as other users.",
            hint="After it is registered, call frappe_tokens.contrib.oauth2.admin.guard(site), or "
            f"put {mixin.__name__} of that module before its ModelAdmin. Remove it from inlines.",
            id="frappe_tokens.W012",
        )
        for site in sorted(all_sites, key=lambda site: site.name)
        for registered, model_admin in site._registry.items()
        for model, guarded_by in {
            (registered, model_admin),
            *((inline.model, None) for inline in model_admin.inlines),
        }
        if (mixin := _guard_for(model)) is not None and not isinstance(guarded_by, mixin)
    ]


def _guard_for(model: type[Model]) -> type[_SecretsMixin] | None:
    """Return the mixin that the ModelAdmin of ``model`` needs; None if it needs none."""
    if issubclass(model, Application):
        return OAuthApplicationAdminMixin
    return OAuthTokenAdminMixin if issubclass(model, TOKENS) else None


def _guarded(form: type[_FormBase], request: HttpRequest) -> type[_FormBase]:
    return type(form.__name__, (_ApplicationFormMixin, form), {"actor": Actor.of(request)})
