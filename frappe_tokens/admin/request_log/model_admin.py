"""The pages of the request log, read-only, for those who may generate keys or view the log."""

from __future__ import annotations

import re
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Prefetch, QuerySet
from django.forms import Media
from django.http import HttpRequest, HttpResponse
from django.utils.html import format_html, format_html_join
from django.utils.safestring import mark_safe
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from ...exceptions import Reason
from ...models import ACCEPTED, OTHER, ApiRequestLog
from ...request_log import local
from ..bases import MEDIA, ModelAdmin
from ..cells import badge, clipped, quiet
from ..usage.chart import DATE_PARAMETERS, grouped
from ..usage.outcomes import label_of
from ..usage.summary import KEY_PARAMETER, USER_PARAMETER, link_to_log, may_see_requests
from .change_list import BoundedPaginator, RequestLogChangeList, search_for
from .log_filters import FILTERS, deleted_user

_SENTENCES = {reason.code: reason.sentence for reason in Reason}


class ApiRequestLogAdmin(ModelAdmin):
    """Requests can't be added, changed or deleted here; see ``prune_request_log``."""

    change_list_template = "frappe_tokens/admin/request_log.html"
    change_form_template = "frappe_tokens/admin/request_log_row.html"
    # The rest is on the page of a row.
    list_display = ["when", "who", "method_and_path", "outcome_badge", "duration"]
    list_filter = [*FILTERS]
    date_hierarchy = "at"
    ordering = ["-at"]
    sortable_by = ["when"]
    search_fields = ["api_key"]
    search_help_text = gettext_lazy(
        "An API key, a username, an address or the beginning of a path, for example /api/."
    )
    paginator = BoundedPaginator
    show_full_result_count = False
    # Numbers beside the choices of the filters would cost one count each.
    show_facets = admin.ShowFacets.NEVER
    fields = [
        "exact_time",
        "user_link",
        "key_link",
        "source",
        "method_name",
        "path_or_number",
        "explained_outcome",
        "duration",
        "ip",
        "user_agent",
    ]

    @property
    def media(self) -> Media:
        return super().media + MEDIA + Media(js=["frappe_tokens/rows.js"])

    @admin.display(description=gettext_lazy("time"), ordering="at")
    def when(self, row: ApiRequestLog) -> str:
        at = local(row.at)
        return format_html_join(
            " ",
            '<span class="frappe-tokens-whole">{}</span>',
            [(f"{at:%Y-%m-%d}",), (f"{at:%H:%M:%S}",)],
        )

    @admin.display(description=gettext_lazy("time"))
    def exact_time(self, row: ApiRequestLog) -> str:
        return f"{local(row.at):%Y-%m-%d %H:%M:%S.%f %Z}".strip()

    @admin.display(description=gettext_lazy("user and API key"))
    def who(self, row: ApiRequestLog) -> str:
        user = self.user_link(row) if row.user_id is not None else ""
        key = self.key_link(row) if row.api_key else ""
        small = format_html('<div class="frappe-tokens-small">{}</div>', key) if key else ""
        return format_html("{}{}", user, small) if user or key else "-"

    @admin.display(description=gettext_lazy("request"))
    def method_and_path(self, row: ApiRequestLog) -> str:
        if not row.method:
            return quiet(self.path_or_number(row))
        # A line may break after a slash, but not within a word.
        steps = ((step,) for step in re.split(r"(?<=[^/]/)(?=.)", row.path))
        return format_html(
            '<div class="frappe-tokens-request"><span class="frappe-tokens-method">{}</span>'
            '<code title="{}">{}</code></div>',
            row.method,
            row.path,
            format_html_join(mark_safe("<wbr>"), "{}", steps),  # nosec B308 # a constant
        )

    @admin.display(description=gettext_lazy("user"))
    def user_link(self, row: ApiRequestLog) -> str:
        if row.user_id is None:
            return "-"
        return self._link(USER_PARAMETER, row.user_id, row.user or deleted_user(row.user_id))

    @admin.display(description=gettext_lazy("API key"))
    def key_link(self, row: ApiRequestLog) -> str:
        return self._link(KEY_PARAMETER, row.api_key, row.api_key) if row.api_key else "-"

    @admin.display(description=gettext_lazy("method"))
    def method_name(self, row: ApiRequestLog) -> str:
        return row.method or "-"

    @admin.display(description=gettext_lazy("path"))
    def path_or_number(self, row: ApiRequestLog) -> str:
        if row.method:
            return str(row.path)
        text: str = ngettext(
            "%(number)s more request in this minute",
            "%(number)s more requests in this minute",
            row.number,
        )
        return text % {"number": grouped(row.number)}

    @admin.display(description=gettext_lazy("duration"))
    def duration(self, row: ApiRequestLog) -> str:
        if not row.method:
            return "-"
        return _("%(number)s ms") % {"number": grouped(row.duration_ms)}

    @admin.display(description=gettext_lazy("outcome"))
    def outcome_badge(self, row: ApiRequestLog) -> str:
        kind = {ACCEPTED: "on", OTHER: "quiet"}.get(row.outcome, "off")
        label = badge(label_of(row.outcome), kind)
        if not row.status:
            return label
        return format_html('{} <span class="frappe-tokens-status">{}</span>', label, row.status)

    @admin.display(description=gettext_lazy("outcome"))
    def explained_outcome(self, row: ApiRequestLog) -> str:
        label = self.outcome_badge(row)
        if row.outcome not in _SENTENCES:
            return label
        sentence = _SENTENCES[row.outcome]
        return format_html('{}<p class="frappe-tokens-help">{}</p>', label, sentence)

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiRequestLog]:
        # With a filter by user, a join would leave out the rows of deleted users. By default,
        # Django would look for the users in the log's database, which may have none.
        user_model = get_user_model()
        users = user_model._base_manager.using(router.db_for_read(user_model))
        named = Prefetch("user", queryset=users)
        rows: QuerySet[ApiRequestLog] = super().get_queryset(request).prefetch_related(named)
        return rows

    def lookup_allowed(self, lookup: str, value: str, request: HttpRequest | None = None) -> bool:
        # Others could be slow, be invalid for a database, or reveal something about users.
        return lookup in [*DATE_PARAMETERS, *(chosen.parameter_name for chosen in FILTERS)]

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> type[RequestLogChangeList]:
        return RequestLogChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[ApiRequestLog], search_term: str
    ) -> tuple[QuerySet[ApiRequestLog], bool]:
        return queryset.filter(*search_for(search_term)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": _("Request log"), **(extra_context or {})}
        return super().changelist_view(request, context)

    def has_view_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return may_see_requests(request)

    has_module_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest, obj: object = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission

    def _link(self, parameter: str, value: object, text: object) -> str:
        """Return a link to the rows that have this value too."""
        url = link_to_log(self.admin_site, {parameter: value})
        return format_html('<a href="{}">{}</a>', url, clipped(text))
