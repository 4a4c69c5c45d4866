"""The checks of forms for a source's rows, no matter which fields a project shows in them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any, ClassVar, TypeAlias

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import PermissionDenied, ValidationError
from django.db.models import Field
from django.http import HttpRequest, QueryDict
from django.utils.translation import gettext_lazy as _

from ..base_models import POLICIES, AbstractApiKey
from ..keys import Actor, check_manager, check_target, clean_expiry, lock_users, locked_key
from ..ui import NetworksField, ScopesField
from ..validators import validate_declared
from ..verification import RequestInfo
from .bases import ModelForm

KeyForm: TypeAlias = "forms.ModelForm[AbstractApiKey]"

# Only those who may manage the user's keys may change these fields.
CREDENTIALS = ("user", *POLICIES)


class SourceFormMixin(ModelForm):
    """Checks the form of every page and list that changes rows."""

    actor: ClassVar[Actor]

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.has_changed():
            return cleaned  # an untouched row of a list
        changed = {name for name in CREDENTIALS if name in self.changed_data}
        user, owner, held = cleaned.get("user"), None, []
        # Lock the old user and the new one together until the form is saved: see lock_users.
        lock_users([self.instance.user_id, getattr(user, "pk", None)], self.actor)
        if not self.instance._state.adding:
            with locked_key(self.instance, self.actor) as stored:
                owner, held = stored.user, stored.scopes
        try:
            if changed and not self.instance._state.adding:
                check_manager(owner, self.actor)
            if "user" in changed and user is not None:
                check_target(user, self.actor)
        except (PermissionDenied, ValidationError) as error:
            message = error if isinstance(error, ValidationError) else str(error)
            self.add_error("user" if "user" in self.fields else None, message)
        try:
            if "expires_at" in changed and cleaned.get("expires_at") is not None:
                clean_expiry(cleaned["expires_at"])
            if "scopes" in changed:
                validate_declared(cleaned.get("scopes", ()), held)
        except ValidationError as error:
            self.add_error({"expiry": "expires_at", "scopes": "scopes"}[error.code or ""], error)
        return cleaned


def guarded(form: type[KeyForm], request: HttpRequest) -> type[KeyForm]:
    """Add the checks of :class:`SourceFormMixin` for this request."""
    return type(form.__name__, (SourceFormMixin, form), {"actor": Actor.of(request)})


def textarea() -> AdminTextareaWidget:
    """Return a small text area. Our styles draw it if the admin's theme doesn't."""
    return AdminTextareaWidget(attrs={"rows": 3, "class": "vLargeTextField frappe-tokens-textarea"})


def list_field(name: str, request: HttpRequest) -> forms.Field | None:
    """Return the form's field for the scopes or the addresses; None for another field."""
    widget = textarea()
    if name == "scopes":
        return ScopesField(widget=widget)
    if name == "allowed_ips":
        return NetworksField(widget=widget, address=RequestInfo(request).address())
    return None


def label_parts(field: forms.Field | None) -> None:
    """Label the date and the time: the label of the field names neither."""
    parts = getattr(getattr(field, "widget", None), "widgets", ())
    for part, label in zip(parts, (_("Expiry date"), _("Expiry time")), strict=False):
        part.attrs.setdefault("aria-label", label)


def posted_in_rows(posted: QueryDict, field: Field[Any, Any]) -> list[object]:
    """Return the valid values of ``field`` in all rows of a list that is being saved."""
    values = []
    for name, text in posted.items():
        if re.fullmatch(f"form-[0-9]+-{field.name}", name):
            with suppress(ValidationError):
                values.append(getattr(field, "target_field", field).to_python(text or None))
    return values
