"""The forms of the pages. None of them accepts an API key, a secret or a user."""

from __future__ import annotations

from datetime import datetime
from typing import cast

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from ..keys import clean_description, clean_name
from ..models import ApiKey
from ..ui import NetworksField, RotationForm, ScopesField
from ..validators import DESCRIPTION_MAX_LENGTH, NAME_MAX_LENGTH
from .expiry import ExpiryChoiceForm, for_new_key, for_rotation

_CHANGEABLE = ("name", "description", "self_rotate")


class EditForm(forms.Form):
    """What users may change of a key of their own."""

    name = forms.CharField(
        required=False,
        max_length=NAME_MAX_LENGTH,
        label=_("Name"),
        help_text=_("What the key is for. Frappe's calls use the key without a name."),
        widget=forms.TextInput(attrs={"autocomplete": "off", "autofocus": True}),
    )

    description = forms.CharField(
        required=False,
        max_length=DESCRIPTION_MAX_LENGTH,
        label=_("Description"),
        help_text=_("Optional: which program uses the key, and where."),
        widget=forms.Textarea(attrs={"rows": 2}),
    )

    self_rotate = forms.BooleanField(
        required=False,
        label=_("May rotate itself"),
        help_text=_("Requests with the key may replace its secret."),
    )

    def __init__(
        self, data: QueryDict | None, *, may_extend: bool, key: ApiKey | None = None
    ) -> None:
        """Make the form for an existing ``key``, or for a new one.

        ``may_extend``: whether the user may extend what a key may do. This requires permission to
        manage their keys.
        """
        initial = {name: getattr(key, name) for name in _CHANGEABLE} if key is not None else None
        super().__init__(data, initial=initial)
        if not may_extend and not (key is not None and key.self_rotate):
            del self.fields["self_rotate"]
        elif not may_extend:
            self.fields["self_rotate"].help_text = _(
                "Requests with the key may replace its secret. You can forbid this, but not allow "
                "it again."
            )

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"])

    def clean_description(self) -> str:
        return clean_description(self.cleaned_data["description"])


class NewKeyForm(EditForm, ExpiryChoiceForm):
    """What users may choose for a new key of their own."""

    read_only = forms.BooleanField(
        required=False, label=_("Read-only"), help_text=_("Only GET, HEAD and OPTIONS.")
    )
    scopes = ScopesField()
    allowed_ips = NetworksField()

    def __init__(self, data: QueryDict | None, *, may_extend: bool, address: str) -> None:
        """Make the form for a user whose request comes from ``address``."""
        super().__init__(data, may_extend=may_extend)
        self.offer(*for_new_key())
        cast("NetworksField", self.fields["allowed_ips"]).show_address(address)


class RotateForm(ExpiryChoiceForm, RotationForm):
    """How long the replaced secret keeps working, and when the key expires."""

    def __init__(self, data: QueryDict | None, *, expires_at: datetime | None) -> None:
        """Make the form for a key that expires at ``expires_at``."""
        super().__init__(data, expires_at=expires_at)
        self.offer(*for_rotation(expires_at))
