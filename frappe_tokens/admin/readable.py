"""Explains the state of a key on its page, and shows what can't be changed in words."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..base_models import AbstractApiKey
from ..models import ApiKey
from ..ui import exact
from .bases import ModelAdmin

if TYPE_CHECKING:
    from django.contrib.admin.options import _FieldsetSpec

# The methods that show these fields if they can't be changed. The admin would show JSON.
READABLE = {
    "scopes": "readable_scopes",
    "allowed_ips": "readable_allowed_ips",
    "metadata": "readable_metadata",
}


class ReadableMixin(ModelAdmin):
    """Notes about the state, and lists instead of JSON, on the page of a key."""

    @admin.display(description=_("scopes"))
    def readable_scopes(self, key: AbstractApiKey) -> str:
        return _as_list(key.scopes, _("None. The key opens all views."))

    @admin.display(description=_("allowed addresses"))
    def readable_allowed_ips(self, key: AbstractApiKey) -> str:
        return _as_list(key.allowed_ips, _("All addresses."))

    @admin.display(description=_("metadata"))
    def readable_metadata(self, key: ApiKey) -> str:
        context = {"pairs": sorted(_pairs(key.metadata))}
        return render_to_string("frappe_tokens/admin/readable_pairs.html", context)

    def readable(
        self, request: HttpRequest, obj: AbstractApiKey | None, fieldsets: _FieldsetSpec
    ) -> _FieldsetSpec:
        """Return ``fieldsets`` with readable fields in place of those that can't be changed."""
        if obj is None:
            return fieldsets
        may_change = self.has_change_permission(request, obj)
        fixed = set(self.get_readonly_fields(request, obj) if may_change else READABLE)
        shown = {name: other for name, other in READABLE.items() if name in fixed}

        def replaced(fields: Sequence[Any]) -> list[Any]:
            return [
                shown.get(field, field) if isinstance(field, str) else replaced(field)
                for field in fields
            ]

        return [
            (name, {**options, "fields": replaced(options["fields"])})
            for name, options in fieldsets
        ]

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: AbstractApiKey | None = None,
    ) -> HttpResponse:
        if obj is not None and (note := _note_about(obj)):
            messages.warning(request, note)
        return super().render_change_form(request, context, add, change, form_url, obj)


def _as_list(items: Sequence[str], nothing: object) -> str:
    context = {"items": items, "nothing": nothing}
    return render_to_string("frappe_tokens/admin/readable_list.html", context)


def _pairs(metadata: Mapping[str, object], start: str = "") -> Iterator[tuple[str, str]]:
    """Yield names and values. The names in a nested object begin with the path to it."""
    for name, value in metadata.items():
        if isinstance(value, dict) and value:
            yield from _pairs(value, f"{start}{name}.")
        elif isinstance(value, list):
            texts = [it if isinstance(it, str) else json.dumps(it) for it in value]
            yield f"{start}{name}", ", ".join(texts)
        else:
            yield f"{start}{name}", value if isinstance(value, str) else json.dumps(value)


def _note_about(key: AbstractApiKey) -> str:
    """Return why requests with ``key`` are refused; "" if they aren't because of its state."""
    if key.revoked_at is not None:
        sentences = [
            _when_and_who(
                gettext("This API key was revoked on %(when)s by %(who)s."),
                gettext("This API key was revoked on %(when)s."),
                key.revoked_at,
                key.revoked_by,
            ),
            gettext("Requests with it are refused. This is final."),
        ]
        if key.revoked_reason:
            # Last, because a user wrote it, and it may have no full stop.
            sentences.append(gettext("Reason: %(reason)s") % {"reason": key.revoked_reason})
        return " ".join(sentences)
    if key.disabled_at is not None:
        disabled = _when_and_who(
            gettext("This API key was disabled on %(when)s by %(who)s."),
            gettext("This API key was disabled on %(when)s."),
            key.disabled_at,
            key.disabled_by,
        )
        refused = gettext("Requests with it are refused until it is enabled.")
        return f"{disabled} {refused}"
    if key.expires_at is not None and key.is_expired():
        text = gettext(
            "This API key expired on %(when)s. Requests with it are refused. Rotate its secret "
            "with a later expiry, or revoke the key."
        )
        return text % {"when": exact(key.expires_at)}
    return ""


def _when_and_who(by_someone: str, by_unknown: str, when: datetime, who: object) -> str:
    text = by_unknown if who is None else by_someone
    return text % {"when": exact(when), "who": who}
