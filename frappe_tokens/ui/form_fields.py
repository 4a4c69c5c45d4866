"""Shared by the forms of the admin and of the users' own pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.forms.fields import InvalidJSONInput
from django.utils import timezone
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..conf import Scopes, conf
from ..validators import REASON_MAX_LENGTH, clean_networks, validate_scopes
from .moments import exact

# Check boxes in groups: a value and its label, or a heading and several of these.
Choices = list[tuple[str, Any]]


class SeparatedListField(forms.CharField):
    """A list of words, separated by spaces, commas or line breaks."""

    def __init__(self, *, widget: forms.Widget | None = None) -> None:
        super().__init__(
            required=False,
            widget=widget or forms.Textarea(attrs={"rows": 2}),
            label=self.label,
            help_text=self.help_text,
        )

    def prepare_value(self, value: object) -> object:
        return "\n".join(value) if isinstance(value, list) else value

    # Any: Django lets a field clean to any type, but the stubs fix a CharField's to str.
    def to_python(self, value: object) -> Any:
        """Return a list of strings."""
        return (super().to_python(value) or "").replace(",", " ").split()

    def has_changed(self, initial: object, data: object) -> bool:
        return bool(self.to_python(data) != (initial or []))


class ScopesWidget(forms.CheckboxSelectMultiple):
    """Check boxes for the scopes that the project declares; a text area if it doesn't."""

    def __init__(self, textarea: forms.Widget) -> None:
        super().__init__(attrs={"class": "frappe-tokens-boxes"})
        self.textarea = textarea

    def id_for_label(self, id_: str, index: str | None = None) -> str:
        if conf.SCOPES is None:
            return self.textarea.id_for_label(id_)
        return super().id_for_label(id_, index)

    def value_from_datadict(self, data: Any, files: Any, name: str) -> str:
        sent = super().value_from_datadict(data, files, name) or ""
        return sent if isinstance(sent, str) else "\n".join(sent)

    def value_omitted_from_data(self, data: Any, files: Any, name: str) -> bool:
        # A browser sends nothing for unchecked boxes, but always a text area.
        return conf.SCOPES is None and self.textarea.value_omitted_from_data(data, files, name)

    def render(
        self, name: str, value: Any, attrs: dict[str, Any] | None = None, renderer: Any = None
    ) -> SafeString:
        declared = conf.SCOPES
        if declared is None:
            return self.textarea.render(name, value, attrs, renderer)
        held = (value or "").split()
        self.choices = _scope_choices(declared, held)
        return super().render(name, held, attrs, renderer)


def _scope_choices(declared: Scopes, held: list[str]) -> Choices:
    """Return the check boxes, grouped by the part of a scope before the colon."""
    choices: Choices = []
    groups: dict[str, Choices] = {}
    for scope, description in declared.items():
        group, colon, _rest = scope.partition(":")
        box = (scope, format_html("<code>{}</code> {}", scope, description))
        (groups.setdefault(group, []) if colon else choices).append(box)
    # Without their boxes, saving would remove them, and a key without scopes opens all views.
    others = [(scope, scope) for scope in held if scope not in declared]
    if others:
        groups[gettext("Not declared by this site")] = others
    return [*choices, *groups.items()]


class ScopesField(SeparatedListField):
    default_validators = [validate_scopes]
    label = _("Scopes")
    help_text: Any = _(
        "One per line. With scopes, the key opens only the views whose scopes it has. Without, it "
        "may do everything that its user may do."
    )

    def __init__(self, *, widget: forms.Widget | None = None) -> None:
        super().__init__(widget=ScopesWidget(widget or forms.Textarea(attrs={"rows": 2})))

    def has_changed(self, initial: Any, data: object) -> bool:
        # A browser sends check boxes in the order of the page.
        return set(self.to_python(data)) != set(initial or ())

    def get_bound_field(self, form: forms.BaseForm, field_name: str) -> forms.BoundField:
        self.widget.use_fieldset = conf.SCOPES is not None
        if self.widget.use_fieldset:
            self.help_text = gettext(
                "With scopes, the key opens only the views whose scopes it has. Without, it may "
                "do everything that its user may do."
            )
        return super().get_bound_field(form, field_name)


class NetworksField(SeparatedListField):
    """Addresses and networks, returned in their shortest form."""

    label = _("Allowed addresses")
    help_text: Any = _(
        "Addresses or networks, one per line, for example 192.0.2.0/24. Leave empty to allow all."
    )

    def __init__(self, *, widget: forms.Widget | None = None, address: str = "") -> None:
        """Make a field whose help names ``address``: the visitor's, as the decision sees it."""
        super().__init__(widget=widget)
        self.show_address(address)

    def show_address(self, address: str) -> None:
        """Name the visitor's ``address`` in the help, if it is known."""
        if address:
            help_text = gettext(
                "Addresses or networks, one per line, for example 192.0.2.0/24. Leave empty to "
                "allow all. Your address is now %(address)s."
            )
            self.help_text = help_text % {"address": address}

    def clean(self, value: object) -> list[str]:
        return clean_networks(super().clean(value))


class ExpiryField(forms.DateTimeField):
    """When a key expires, in the current time zone."""

    def __init__(self) -> None:
        super().__init__(
            required=False,
            label=_("Expires"),
            widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        )


def expiry_help(*default: datetime | None) -> str:
    """Return what an empty field means, the latest possible expiry, and the time zone.

    ``default`` is the expiry if the field is left empty, None for never. Omit it if the field is
    required.
    """
    parts = [
        gettext("Empty: %(when)s") % {"when": gettext("never") if end is None else exact(end)}
        for end in default
    ]
    if conf.MAX_LIFETIME is not None:
        latest = exact(timezone.now() + conf.MAX_LIFETIME)
        parts.append(gettext("at the latest: %(when)s") % {"when": latest})
    parts.append(gettext("time zone: %(name)s") % {"name": timezone.get_current_timezone_name()})
    return "; ".join(parts)


class MetadataField(forms.JSONField):
    """A JSON object; empty if nothing is entered. Django's field crashes on deeply nested JSON."""

    def to_python(self, value: object) -> Any:
        try:
            data = super().to_python(value)
        except (ValueError, RecursionError) as error:
            params = {"value": value}
            raise ValidationError(self.error_messages["invalid"], "invalid", params) from error
        return {} if data is None else data

    def bound_data(self, data: object, initial: object) -> object:
        try:
            return super().bound_data(data, initial)
        except (ValueError, RecursionError):
            return InvalidJSONInput(data)


class RevokeForm(forms.Form):
    """Why a key is revoked."""

    reason = forms.CharField(
        required=False,
        max_length=REASON_MAX_LENGTH,
        label=_("Reason"),
        help_text=_("Optional. Stored with the key, for those who look at it later."),
        widget=forms.TextInput(
            attrs={"autocomplete": "off", "autofocus": True, "class": "vTextField"}
        ),
    )
