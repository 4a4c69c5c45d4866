"""The forms of the page. No API key, secret or user is taken from any of them."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..form_fields import SeparatedListField
from ..keys import clean_expiry, clean_name, default_expiry
from ..validators import NAME_MAX_LENGTH, validate_networks, validate_scopes

GRACES = {
    timedelta(0): _("Not at all: it may have leaked"),
    timedelta(hours=1): _("For one hour"),
    timedelta(days=1): _("For one day"),
    timedelta(days=7): _("For seven days"),
}

# What <input type="datetime-local"> sends and takes.
LOCAL_MOMENT = "%Y-%m-%dT%H:%M"


class NewKeyForm(forms.Form):
    """What users may choose of a new key of their own.

    Args:
        user: whose key it will be.
        data: what was sent, if anything.
    """

    name = forms.CharField(
        required=False,
        max_length=NAME_MAX_LENGTH,
        label=_("Name"),
        help_text=_("What the key is for. Without a name, it is the one that Frappe calls use."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )
    expires_at = forms.DateTimeField(
        required=False,
        label=_("Expires"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format=LOCAL_MOMENT),
    )
    read_only = forms.BooleanField(
        required=False, label=_("Read-only"), help_text=_("Only GET, HEAD and OPTIONS.")
    )
    scopes = SeparatedListField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        validators=[validate_scopes],
        label=_("Scopes"),
        help_text=_(
            "One a line. A key with scopes opens only the views that require some of them."
        ),
    )
    allowed_ips = SeparatedListField(
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        validators=[validate_networks],
        label=_("Allowed addresses"),
        help_text=_("Addresses or networks, one a line, such as 192.0.2.0/24. None: everywhere."),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data)
        self.fields["expires_at"].help_text = _expiry_help()

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"])

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        return None if expires_at is None else clean_expiry(expires_at)


class RotateForm(forms.Form):
    """How long the replaced secret keeps working."""

    grace = forms.TypedChoiceField(
        label=_("How long should the current secret keep working?"),
        choices=[(int(grace.total_seconds()), label) for grace, label in GRACES.items()],
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        widget=forms.RadioSelect,
    )

    def __init__(self, data: Any = None) -> None:
        usual = next((grace for grace in GRACES if grace >= conf.ROTATION_GRACE), max(GRACES))
        super().__init__(data, initial={"grace": int(usual.total_seconds())})


class RenameForm(forms.Form):
    """Another name."""

    name = forms.CharField(
        required=False,
        max_length=NAME_MAX_LENGTH,
        label=_("Name"),
        help_text=_("What the key is for. Without a name, it is the one that Frappe calls use."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )


class RevokeForm(forms.Form):
    """Why a key is revoked."""

    reason = forms.CharField(
        required=False,
        max_length=200,
        label=_("Reason"),
        help_text=_("Kept with the key, for those who look at it later. May stay empty."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )


def _expiry_help() -> str:
    """What an empty field means, how late the expiry may be, and whose clock that is."""
    now = timezone.now()
    default = default_expiry(now)
    parts = [
        gettext("Empty: never")
        if default is None
        else gettext("Empty: %(moment)s") % {"moment": _shown(default)}
    ]
    if conf.MAX_LIFETIME is not None:
        latest = _shown(now + conf.MAX_LIFETIME)
        parts.append(gettext("at the latest: %(moment)s") % {"moment": latest})
    parts.append(gettext("time zone: %(name)s") % {"name": timezone.get_current_timezone_name()})
    return "; ".join(parts)


def _shown(moment: datetime) -> str:
    if timezone.is_aware(moment):
        moment = timezone.localtime(moment)
    return date_format(moment, "DATETIME_FORMAT")
