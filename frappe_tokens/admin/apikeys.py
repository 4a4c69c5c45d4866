"""The pages of ``ApiKey``: add, change, rotate, revoke."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import JSONField, TextField
from django.forms import Select
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from ..base_models import POLICIES, AbstractApiKey
from ..keys import (
    Actor,
    GeneratedKeys,
    check_number,
    clean_description,
    clean_metadata,
    clean_name,
    create_key,
    led_by,
)
from ..models import ApiKey
from ..ui import MetadataField
from .bases import ModelForm
from .cells import clipped
from .source_forms import KeyForm, textarea
from .sources import ApiKeySourceMixin, MaybeKey

if TYPE_CHECKING:
    from django.db.models import ForeignKey, QuerySet
    from django.forms import ModelChoiceField

USERNAME = get_user_model().USERNAME_FIELD
OWN_COLUMNS = tuple(name for name in ApiKeySourceMixin.own_columns if name != "api_key")

# The fields that don't affect what a key may do.
TEXTS = ("name", "description", "metadata")

# save_model sets this attribute of the request, and response_add reads it.
GENERATED = "_frappe_tokens_generated"


class ApiKeyForm(ModelForm):
    """What administrators may choose. The API key and the secret aren't part of it."""

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"])

    def clean_description(self) -> str:
        return clean_description(self.cleaned_data["description"])

    def clean_metadata(self) -> Mapping[str, object]:
        return clean_metadata(self.cleaned_data["metadata"])

    def validate_unique(self) -> None:
        super().validate_unique()
        if self.instance._state.adding and self.instance.user_id is not None:
            try:
                check_number([self.instance.user])
            except ValidationError as error:
                self.add_error(None, error)
        # Django skips the constraint on the name, because "live" isn't in the form. The user is
        # already locked.
        try:
            self.instance.validate_constraints(exclude={"api_key"})
        except ValidationError as error:
            self.add_error("name", error.messages)


class ApiKeyAdmin(ApiKeySourceMixin):
    """Users who may generate keys can see, add, change, rotate and revoke them here.

    Team leads see their own keys, and those of the users that an authentication backend names.
    """

    form = ApiKeyForm
    list_display = ["key_name", "key_user", *OWN_COLUMNS]
    own_columns = OWN_COLUMNS
    list_filter = ["read_only"]
    list_select_related = ["user"]
    # Newest first, by an index.
    ordering = ["-pk"]
    raw_id_fields = ["user"]
    readonly_fields = ["created_at", "created_by"]
    formfield_overrides = {
        TextField: {"widget": textarea()},
        JSONField: {"form_class": MetadataField, "widget": textarea()},
    }

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def key_name(self, key: ApiKey) -> str:
        if not key.name:
            return clipped(key.api_key, "frappe-tokens-unnamed")
        small = clipped(key.api_key, "frappe-tokens-small")
        return format_html('<span class="frappe-tokens-name">{}</span>{}', key.name, small)

    @admin.display(description=gettext_lazy("user"), ordering=f"user__{USERNAME}")
    def key_user(self, key: ApiKey) -> str:
        return clipped(key.user)

    def get_search_fields(self, request: HttpRequest) -> list[str]:
        return ["api_key", "name", f"user__{USERNAME}"]

    def get_autocomplete_fields(self, request: HttpRequest) -> list[str]:
        """Offer a search if the project's admin can search for users; otherwise ask for the id."""
        if not self.admin_site.is_registered(get_user_model()):
            return []
        users = self.admin_site.get_model_admin(get_user_model())
        searchable = users.get_search_fields(request) and users.has_view_permission(request)
        return ["user"] if searchable else []

    def get_fields(self, request: HttpRequest, obj: MaybeKey = None) -> tuple[str, ...]:
        return ("user", *TEXTS, *(() if obj is None else self.readonly_fields))

    def get_readonly_fields(self, request: HttpRequest, obj: MaybeKey = None) -> list[str]:
        readonly = super().get_readonly_fields(request, obj)
        return readonly if obj is None else ["user", *readonly]

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiKey]:
        keys: QuerySet[ApiKey] = super().get_queryset(request)
        sees_all = super().has_view_permission(request)
        return keys if sees_all else Actor.of(request).visible(keys)

    def formfield_for_foreignkey(
        self, db_field: ForeignKey[Any], request: HttpRequest, **kwargs: Any
    ) -> ModelChoiceField[Any] | None:
        if db_field.name == "user" and not Actor.of(request).may_generate:
            kwargs["queryset"] = led_by(request.user)
            if "user" not in self.get_autocomplete_fields(request):
                # The widget for an id shows the name of any user.
                kwargs["widget"] = Select()
        return super().formfield_for_foreignkey(db_field, request, **kwargs)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: MaybeKey = None) -> bool:
        return self.has_add_permission(request) or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        actor = Actor.of(request)
        return actor.may_generate or actor.is_lead

    def has_change_permission(self, request: HttpRequest, obj: MaybeKey = None) -> bool:
        actor = Actor.of(request)
        if obj is None:
            return self.has_add_permission(request)
        return not obj.is_revoked and actor.may_manage(obj.user)

    def has_delete_permission(self, request: HttpRequest, obj: MaybeKey = None) -> bool:
        if self._is_own_page(request):
            return False
        # Django asks for each key that is deleted with its user. Deleting a user with keys needs
        # no other permission than deleting any user.
        is_known = Actor.of(request).is_known
        goes_with_another = obj is not None and is_known and _deletes(request)
        return goes_with_another or super().has_delete_permission(request, obj)

    def add_view(
        self,
        request: HttpRequest,
        form_url: str = "",
        extra_context: dict[str, object] | None = None,
    ) -> HttpResponse:
        # Adding ends with the page that shows the secret, whichever button is pressed.
        one_button = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **one_button})

    def save_model(
        self, request: HttpRequest, obj: AbstractApiKey, form: KeyForm, change: bool
    ) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        options = {name: form.cleaned_data[name] for name in (*TEXTS, *POLICIES)}
        generated = create_key(obj.user, by=Actor.of(request, history=False), **options)
        obj.pk = generated.instance.pk
        obj.refresh_from_db(using=generated.instance._state.db)
        setattr(request, GENERATED, generated)

    def response_add(
        self, request: HttpRequest, obj: ApiKey, post_url_continue: str | None = None
    ) -> HttpResponse:
        """Show the secret in the response to the form: a redirect would have to store it."""
        generated: GeneratedKeys = getattr(request, GENERATED)
        return self.secret_page(request, obj, generated)


def _deletes(request: HttpRequest) -> bool:
    """Whether ``request`` is for a page of an admin site that deletes rows."""
    match = request.resolver_match
    return (
        match is not None
        and "admin" in match.app_names
        and (match.url_name or "").endswith(("_delete", "_changelist"))
    )
