"""The forms of the pages. None of them accepts an API key, a secret or a user."""

from __future__ import annotations

from datetime import timedelta

from django import forms
from django.utils import timezone
from django.utils.functional import lazy
from django.utils.translation import gettext_lazy as _

from ..conf import conf
from ..form_fields import ExpiryField, NetworksField, RenewalForm, ScopesField, expiry_help
from ..keys import clean_name, default_expiry
from ..validators import NAME_MAX_LENGTH

# In seconds.
GRACES = [
    (0, _("Not at all: it may have leaked")),
    (3_600, _("For one hour")),
    (86_400, _("For one day")),
    (604_800, _("For seven days")),
]


def _usual_grace() -> int:
    """Return the shortest of ``GRACES`` that isn't shorter than ``ROTATION_GRACE``."""
    usual = conf.ROTATION_GRACE.total_seconds()
    return next((seconds for seconds, _label in GRACES if seconds >= usual), GRACES[-1][0])


def _expiry_help() -> str:
    return expiry_help(default_expiry(timezone.now()))


class RenameForm(forms.Form):
    """A new name."""

    name = forms.CharField(
        required=False,
        max_length=NAME_MAX_LENGTH,
        label=_("Name"),
        help_text=_(
            "What the key is for. The key without a name is the one that Frappe calls use."
        ),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"])


class NewKeyForm(RenameForm):
    """What users may choose for a new key of their own."""

    expires_at = ExpiryField(help_text=lazy(_expiry_help, str)())
    read_only = forms.BooleanField(
        required=False, label=_("Read-only"), help_text=_("Only GET, HEAD and OPTIONS.")
    )
    scopes = ScopesField()
    allowed_ips = NetworksField()


class RotateForm(RenewalForm):
    """Also how long the replaced secret keeps working."""

    grace = forms.TypedChoiceField(
        label=_("How long should the current secret keep working?"),
        choices=GRACES,
        coerce=lambda seconds: timedelta(seconds=int(seconds)),
        initial=_usual_grace,
        widget=forms.RadioSelect,
    )
