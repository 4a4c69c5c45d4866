"""The request log's pages: to be read, by those who may generate keys or may view it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.db import router
from django.db.models import Prefetch, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ...exceptions import Reason
from ...models import ApiRequestLog
from ...request_log import last_day_of
from ..usage.summary import KEY_PARAMETER, USER_PARAMETER, link_to_log, may_see_requests, picture
from ..users import api_access_media
from .change_list import BoundedPaginator, RequestLogChangeList, search_for
from .dates import DATE_PARTS
from .log_filters import FILTERS, deleted_user

# ModelAdmin takes a type argument for the type checker only.
if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[ApiRequestLog]
else:
    _ModelAdmin = admin.ModelAdmin

_SENTENCES = {reason.code: reason.sentence for reason in Reason}


class ApiRequestLogAdmin(_ModelAdmin):
    """Nobody adds, changes or deletes requests here; ``prune_request_log`` does the last."""

    change_list_template = "frappe_tokens/admin/request_log.html"
    list_display = [
        "when",
        "whose",
        "method",
        "path",
        "status",
        "result",
        "key",
        "ip",
        "took",
    ]
    list_filter = [*FILTERS]
    date_hierarchy = "at"
    ordering = ["-at"]
    sortable_by = ["when"]
    search_fields = ["api_key"]
    search_help_text = gettext_lazy(
        "An API key, a username, an address or the beginning of a path, such as /api/."
    )
    paginator = BoundedPaginator
    show_full_result_count = False
    # A number beside every choice of every filter would be a count each.
    show_facets = admin.ShowFacets.NEVER
    fields = [
        "moment",
        "whose",
        "key",
        "source",
        "method",
        "path",
        "status",
        "took",
        "ip",
        "user_agent",
        "explained",
    ]

    @property
    def media(self) -> Any:
        return super().media + api_access_media()

    @admin.display(description=gettext_lazy("time"), ordering="at")
    def when(self, row: ApiRequestLog) -> str:
        return formats.date_format(_local(row), "Y-m-d H:i:s", use_l10n=False)

    @admin.display(description=gettext_lazy("time"))
    def moment(self, row: ApiRequestLog) -> str:
        at = _local(row)
        return f"{at:%Y-%m-%d %H:%M:%S.%f %Z}".strip()

    @admin.display(description=gettext_lazy("user"))
    def whose(self, row: ApiRequestLog) -> str:
        if row.user_id is None:
            return "-"
        named = row.user if row.user is not None else deleted_user(row.user_id)
        return self._only(USER_PARAMETER, row.user_id, named)

    @admin.display(description=gettext_lazy("API key"))
    def key(self, row: ApiRequestLog) -> str:
        return self._only(KEY_PARAMETER, row.api_key, row.api_key) if row.api_key else "-"

    @admin.display(description=gettext_lazy("duration"))
    def took(self, row: ApiRequestLog) -> str:
        return _("%(number)s ms") % {"number": row.duration_ms}

    @admin.display(description=gettext_lazy("outcome"))
    def result(self, row: ApiRequestLog) -> str:
        kind = "off" if row.outcome in _SENTENCES else "quiet"
        return format_html('<span class="frappe-tokens-{}">{}</span>', kind, row.outcome)

    @admin.display(description=gettext_lazy("outcome"))
    def explained(self, row: ApiRequestLog) -> str:
        return format_html(
            '{}<p class="frappe-tokens-help">{}</p>',
            self.result(row),
            _SENTENCES.get(row.outcome, ""),
        )

    def get_queryset(self, request: HttpRequest) -> QuerySet[ApiRequestLog]:
        # A join would leave out the rows of a user who was deleted, once it is filtered by user.
        # Left to itself, Django looks for the users in the rows' database, which may have none.
        users = get_user_model()
        those = users._base_manager.using(router.db_for_read(users))
        named = Prefetch("user", queryset=those)
        rows: QuerySet[ApiRequestLog] = super().get_queryset(request).prefetch_related(named)
        return rows

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest | None = None) -> bool:
        # Any other could be slow, ask for what a database does not understand, or guess at users.
        return lookup in DATE_PARTS or lookup in {chosen.parameter_name for chosen in FILTERS}

    def get_changelist(self, request: HttpRequest, **kwargs: Any) -> Any:
        return RequestLogChangeList

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        return queryset.filter(*search_for(search_term)), False

    def changelist_view(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        context = {"title": _("Request log"), **(extra_context or {})}
        response = super().changelist_view(request, context)
        # There is no list where the address was not understood.
        shown: dict[str, Any] = getattr(response, "context_data", None) or {}
        if "cl" in shown:
            shown["usage"] = _picture_above(shown["cl"])
        return response

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return may_see_requests(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def _only(self, parameter: str, value: Any, text: Any) -> str:
        """A link from a row to the list of those that are like it in this."""
        address = link_to_log(self.admin_site, {parameter: value})
        return format_html('<a href="{}">{}</a>', address, text)


def _picture_above(shown: RequestLogChangeList) -> str:
    """The picture of what is listed. With a date chosen, of the thirty days up to the newest."""
    nothing = _("No request on record matches this choice.") if shown.is_narrowed else ""
    until = last_day_of(shown.queryset) if shown.is_dated else None
    return picture(shown.queryset, until=until, nothing=nothing)


def _local(row: ApiRequestLog) -> Any:
    return timezone.localtime(row.at) if timezone.is_aware(row.at) else row.at
