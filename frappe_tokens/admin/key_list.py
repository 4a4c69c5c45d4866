"""The list of keys: its columns and filters. Its actions are in ``key_revoking``."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from django.contrib import admin
from django.db.models import F
from django.http import HttpRequest
from django.template.loader import render_to_string
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext

from ..base_models import AbstractApiKey, KeyState
from ..ui import EXPIRING_DAYS, relative_time
from .cells import badge, labelled, quiet
from .key_filters import ExpiryFilter, StateFilter, UseFilter
from .key_revoking import KeyActionsMixin

if TYPE_CHECKING:
    from django.contrib.admin.options import _DisplayT, _ListFilterT

# How many scopes or addresses a cell shows. The page of the key shows all.
LIMITS_MAX = 3


class KeyListMixin(KeyActionsMixin):
    """Adds columns, filters and actions to the list of a ModelAdmin of keys."""

    own_columns: ClassVar[tuple[str, ...]] = (
        "api_key",
        "key_state",
        "key_limits",
        "key_last_used",
        "key_expires",
    )

    def get_list_display(self, request: HttpRequest) -> list[_DisplayT[Any]]:
        return list(dict.fromkeys([*super().get_list_display(request), *self.own_columns]))

    def get_list_filter(self, request: HttpRequest) -> list[_ListFilterT]:
        own = (StateFilter, ExpiryFilter, UseFilter)
        return [*own, *super().get_list_filter(request)]

    @admin.display(description=gettext_lazy("state"))
    def key_state(self, key: AbstractApiKey) -> str:
        return render_to_string("frappe_tokens/admin/key_state.html", {"key": key})

    @admin.display(description=gettext_lazy("scopes and limits"))
    def key_limits(self, key: AbstractApiKey) -> str:
        limits = [_as_code(key.scopes), _as_code(key.allowed_ips)]
        limits += [_("read-only") if key.read_only else "", key.rate_limit]
        shown = [(limit,) for limit in limits if limit] or [(quiet(pgettext("limits", "None")),)]
        items = format_html_join("", "<span>{}</span>", shown)
        value = format_html('<div class="frappe-tokens-limits">{}</div>', items)
        return labelled(_("Scopes and limits"), value)

    # Keys without a value count as used the longest ago, and as expiring last.
    @admin.display(
        description=gettext_lazy("last used"), ordering=F("last_used_at").asc(nulls_first=True)
    )
    def key_last_used(self, key: AbstractApiKey) -> str:
        at = key.last_used_at
        value = (
            quiet(pgettext("last use", "Never"))
            if at is None
            else relative_time(at, timezone.now())
        )
        return labelled(_("Last used"), value)

    @admin.display(
        description=gettext_lazy("expires"), ordering=F("expires_at").asc(nulls_last=True)
    )
    def key_expires(self, key: AbstractApiKey) -> str:
        now, value = timezone.now(), quiet(_("Never"))
        if key.expires_at is not None:
            value = relative_time(key.expires_at, now)
            is_soon = key.expires_at <= now + timedelta(days=EXPIRING_DAYS)
            if is_soon and key.state == KeyState.ACTIVE:
                value = badge(value, "warn")
        return labelled(_("Expires"), value)


def _as_code(words: Sequence[str]) -> str:
    """Return the first of ``words``, and how many more there are, with all of them on hover."""
    if not words:
        return ""
    shown = format_html_join(" ", "<code>{}</code>", [(word,) for word in words[:LIMITS_MAX]])
    more = len(words) - LIMITS_MAX
    if more > 0:
        text = _("+%(count)s more") % {"count": more}
        shown = format_html("{} {}", shown, text)
    return format_html('<span title="{}">{}</span>', ", ".join(words), shown)
