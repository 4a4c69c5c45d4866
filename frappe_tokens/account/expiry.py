"""The choice of an expiry: after a number of days, on another date, or never."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from .. import policy
from ..conf import conf
from ..keys import default_expiry
from ..ui import ExpiryField, exact

LIFETIMES = tuple(timedelta(days=days) for days in (30, 60, 90))

CUSTOM = "custom"
# The key's own expiry when it is rotated, and none at all for a new key.
UNCHANGED, NEVER = "unchanged", "never"

Choice = tuple[str, str]


class ExpiryChoiceForm(forms.Form):
    """Turns the choice into ``cleaned_data["expires_at"]``, where None is the core's default.

    If only a date is sent, the date counts.
    """

    expiry = forms.ChoiceField(
        required=False, label=gettext_lazy("Expires"), widget=forms.RadioSelect
    )
    expires_at = ExpiryField()

    def offer(self, choices: list[Choice], initial: str) -> None:
        field: Any = self.fields["expiry"]
        field.choices = choices
        field.initial = initial
        date = self.fields["expires_at"]
        date.label, date.help_text = _("Expiry date"), _date_help()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        chosen = cleaned.pop("expiry", "")
        if chosen == CUSTOM:
            if "expires_at" not in self.errors and cleaned["expires_at"] is None:
                self.add_error("expires_at", _("Enter a date and a time."))
        elif chosen:
            # A date beside another choice doesn't count.
            self.errors.pop("expires_at", None)
            cleaned["expires_at"] = _end_of(chosen)
        return cleaned


def for_new_key() -> tuple[list[Choice], str]:
    """Return the choices for a new key, and the default one by the project's settings."""
    now = timezone.now()
    default = default_expiry(now)
    if default is None:
        return [*_choices(now), (NEVER, _("Never"))], NEVER
    return _choices(now, default - now), _value_of(default - now)


def for_rotation(expires_at: datetime | None) -> tuple[list[Choice], str]:
    """Return the choices for a key that expires at ``expires_at``, and the default one.

    An expired key can't keep its expiry.
    """
    now = timezone.now()
    if policy.has_ended(expires_at, now):
        default = default_expiry(now)
        usual = LIFETIMES[0] if default is None else default - now
        return _choices(now, usual), _value_of(usual)
    latest = now + conf.MAX_LIFETIME if conf.MAX_LIFETIME is not None else None
    ends = [end for end in (expires_at, latest) if end is not None]
    if not ends:
        label = _("Never, as before")
    elif min(ends) == expires_at:
        label = _("As before: %(when)s") % {"when": exact(expires_at)}
    else:
        # The core shortens it.
        label = _("As late as possible: %(when)s") % {"when": exact(min(ends))}
    return [(UNCHANGED, label), *_choices(now)], UNCHANGED


def _choices(now: datetime, *more: timedelta) -> list[Choice]:
    longest = conf.MAX_LIFETIME or timedelta.max
    spans = sorted({*LIFETIMES, *more})
    lifetimes = [(_value_of(span), _label_of(span, now)) for span in spans if span <= longest]
    return [*lifetimes, (CUSTOM, _("Another date"))]


def _value_of(span: timedelta) -> str:
    return str(span.total_seconds())


def _label_of(span: timedelta, now: datetime) -> str:
    if span % timedelta(days=1):
        return _("Until %(when)s") % {"when": exact(now + span)}
    text = ngettext("%(days)s day (%(date)s)", "%(days)s days (%(date)s)", span.days)
    return text % {"days": span.days, "date": exact(now + span, "DATE_FORMAT")}


def _end_of(chosen: str) -> datetime | None:
    if chosen in {UNCHANGED, NEVER}:
        return None
    return timezone.now() + timedelta(seconds=float(chosen))


def _date_help() -> str:
    names = {"zone": timezone.get_current_timezone_name()}
    if conf.MAX_LIFETIME is None:
        return _("In the time zone %(zone)s.") % names
    names["latest"] = exact(timezone.now() + conf.MAX_LIFETIME)
    return _("At the latest %(latest)s, in the time zone %(zone)s.") % names
