"""What is asked before a secret is replaced, in the admin and on the users' own pages."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import QueryDict
from django.utils import timezone
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from .. import policy
from ..conf import conf
from ..keys import clean_expiry, clean_grace
from .form_fields import ExpiryField, expiry_help


class RenewalForm(forms.Form):
    """When a key expires after its rotation. An expired one needs a later expiry."""

    expires_at = ExpiryField()

    def __init__(self, data: QueryDict | None, *, expires_at: datetime | None) -> None:
        super().__init__(data)
        field, now = self.fields["expires_at"], timezone.now()
        field.required = policy.has_ended(expires_at, now)
        if field.required:
            problem = gettext("The key has expired. Enter a later expiry.")
            field.error_messages["required"] = problem
            field.help_text = f"{problem} ({expiry_help()})"
        else:
            latest = now + conf.MAX_LIFETIME if conf.MAX_LIFETIME is not None else None
            ends = [end for end in (expires_at, latest) if end is not None]
            field.help_text = expiry_help(min(ends, default=None))

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        return None if expires_at is None else clean_expiry(expires_at)


# In seconds.
GRACES = [
    (0, _("Not at all: it may have leaked")),
    (3_600, _("For one hour")),
    (86_400, _("For 24 hours")),
    (604_800, _("For seven days")),
]
UNTIL = "until"


def _usual_grace() -> int:
    """Return the shortest of ``GRACES`` that isn't shorter than ``ROTATION_GRACE``."""
    usual = conf.ROTATION_GRACE.total_seconds()
    return next((seconds for seconds, _label in GRACES if seconds >= usual), GRACES[-1][0])


class GraceForm(forms.Form):
    """How long replaced secrets keep working: ``cleaned_data["grace"]`` is a timedelta."""

    grace = forms.ChoiceField(
        label=_("How long should the current secret keep working?"),
        choices=[*GRACES, (UNTIL, _("Until a time of your choice"))],
        initial=_usual_grace,
        widget=forms.RadioSelect,
    )
    grace_until = forms.DateTimeField(
        required=False,
        label=_("The current secret works until"),
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        name = timezone.get_current_timezone_name()
        self.fields["grace_until"].help_text = gettext("Time zone: %(name)s.") % {"name": name}

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        chosen, until = cleaned.get("grace"), cleaned.pop("grace_until", None)
        if chosen == UNTIL and "grace_until" not in self.errors:
            try:
                cleaned["grace"] = _grace_until(until)
            except ValidationError as error:
                self.add_error("grace_until", error)
        elif chosen is not None and chosen != UNTIL:
            # A time beside another choice doesn't count.
            self.errors.pop("grace_until", None)
            cleaned["grace"] = timedelta(seconds=int(chosen))
        return cleaned


def _grace_until(until: datetime | None) -> timedelta:
    # The field also reads times with an offset, which can't be compared without USE_TZ.
    if until is None or timezone.is_naive(until) == settings.USE_TZ:
        raise ValidationError(_("Enter a date and a time."), code="required")
    grace = until - timezone.now()
    if grace <= timedelta(0):
        raise ValidationError(_("The grace period must end in the future."), code="grace")
    return clean_grace(grace)


class RotationForm(GraceForm, RenewalForm):
    """Also when the key expires after its rotation."""
