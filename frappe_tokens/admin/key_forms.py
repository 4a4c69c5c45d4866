"""The forms of the API keys' pages."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..form_fields import SeparatedListField
from ..keys import Actor, check_target, clean_expiry, clean_name, default_expiry, lock_users
from ..models import ApiKey
from ..validators import validate_networks, validate_scopes


# ModelForm takes a type argument for the type checker only, and not at run time.
class ApiKeyForm(forms.ModelForm):  # type: ignore[type-arg]
    """What an administrator may set of a key. The API key and the secret are no part of it."""

    actor: ClassVar[Actor]  # set for each request by the ModelAdmin

    scopes = SeparatedListField(
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 3}),
        validators=[validate_scopes],
        label=_("Scopes"),
        help_text=_(
            "One a line. A key with scopes opens only the views that require some of them."
        ),
    )
    allowed_ips = SeparatedListField(
        required=False,
        widget=AdminTextareaWidget(attrs={"rows": 3}),
        validators=[validate_networks],
        label=_("Allowed addresses"),
        help_text=_("Addresses or networks, one a line, such as 192.0.2.0/24. None: everywhere."),
    )

    class Meta:
        model = ApiKey
        fields = ["user", "name", "scopes", "read_only", "allowed_ips", "rate_limit", "expires_at"]

    def clean_name(self) -> str:
        return clean_name(self.cleaned_data["name"])

    def clean_user(self) -> Any:
        user = self.cleaned_data["user"]
        try:
            check_target(user, self.actor)
        except PermissionDenied as error:
            raise ValidationError(str(error)) from error
        return user

    def clean_expires_at(self) -> Any:
        expires_at = self.cleaned_data["expires_at"]
        if "expires_at" in self.changed_data:
            if expires_at is None:
                return default_expiry(timezone.now())
            clean_expiry(expires_at)
        return expires_at

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or {}
        user = cleaned.get("user") or getattr(self.instance, "user", None)
        name = cleaned.get("name", self.instance.name)
        if user is None:
            return cleaned
        # Until the form is saved, so that the name is not taken meanwhile.
        lock_users([user.pk], self.actor)
        alias = router.db_for_write(ApiKey)
        stored = ApiKey.objects.using(alias)
        if stored.filter(pk=self.instance.pk, revoked_at__isnull=False).exists():
            raise ValidationError(
                _("This API key was revoked, which is final. Generate a new key.")
            )
        others = ApiKey.objects.using(alias).filter(user_id=user.pk, name=name, live=True)
        if others.exclude(pk=self.instance.pk).exists():
            # So adding again, for example by reloading the page with the secret, changes nothing.
            self.add_error(
                "name",
                _(
                    "This user already has an API key of this name. Generate a new secret on that "
                    "key's page, or choose another name."
                ),
            )
        return cleaned


class RevokeForm(forms.Form):
    """Why a key is revoked."""

    reason = forms.CharField(
        required=False,
        max_length=200,
        label=_("Reason"),
        help_text=_("Kept with the key, for those who look at it later."),
        widget=forms.TextInput(attrs={"class": "vTextField"}),
    )
