"""The section *API Access* on a row's page, and the columns of the list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote
from django.template.loader import render_to_string
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from ... import policy
from ...keys import BEYOND_RIGHTS, Actor
from ..usage.summary import usage_of_key

# For the type checker a mixin of ModelAdmin; at run time any class that comes before one.
if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = object

GRACE = "api_access_grace"
GENERATE, REFUSED, REVOKE = "api_access_generate", "api_access_refused", "api_access_revoke"
ACCESS = ("api_access_key", "api_access_state", "api_access_last_used")
REQUESTS = "api_access_requests"
SECTION = (*ACCESS, GRACE, GENERATE, REFUSED, REVOKE, REQUESTS)


def section_of(key: Any, actor: Actor, may_see_requests: bool) -> list[str]:
    """The fields of the section for ``actor``: the buttons are for those who may press them."""
    in_grace = not policy.has_ended(key.previous_expires_at, timezone.now())
    fields = [*ACCESS, *([GRACE] if key.previous_digest and in_grace else [])]
    if actor.may_generate and not key.is_revoked:
        fields += [GENERATE if actor.may_manage(key.user) else REFUSED, REVOKE]
    return [*fields, *([REQUESTS] if may_see_requests else [])]


class SourceSectionMixin(_Base):
    """What the section and the list show of a key. Never a digest."""

    @admin.display(description=gettext_lazy("state"))
    def key_state(self, key: Any) -> str:
        if key.is_revoked:
            return _("Revoked")
        if key.is_expired():
            return _("Expired")
        return _("Active") if key.secret_digest else _("No secret yet")

    @admin.display(description=gettext_lazy("API Key"))
    def api_access_key(self, key: Any) -> str:
        return _render("api_access_key", key)

    @admin.display(description=gettext_lazy("State"))
    def api_access_state(self, key: Any) -> str:
        return _render("source_state", key, state=self.key_state(key))

    @admin.display(description=gettext_lazy("Last used"))
    def api_access_last_used(self, key: Any) -> str:
        return _render("api_access_last_used", key)

    @admin.display(description=gettext_lazy("Old secret"))
    def api_access_grace(self, key: Any) -> str:
        return _render("source_grace", key)

    @admin.display(description=gettext_lazy("Requests"))
    def api_access_requests(self, key: Any) -> str:
        return usage_of_key(key, self.admin_site)

    @admin.display(description=gettext_lazy("API Secret"))
    def api_access_generate(self, key: Any) -> str:
        replaced = key if key.secret_digest else None
        return _render("api_access_generate", replaced, url=self.url_of("generate_keys", key))

    @admin.display(description=gettext_lazy("API Secret"))
    def api_access_refused(self, key: Any) -> str:
        return str(BEYOND_RIGHTS)

    @admin.display(description=gettext_lazy("Revocation"))
    def api_access_revoke(self, key: Any) -> str:
        return _render("source_revoke", key, url=self.url_of("revoke", key))

    def url_name(self, what: str) -> str:
        """The name of a page of this ModelAdmin, as Django names them."""
        return f"{self.opts.app_label}_{self.opts.model_name}_{what}"

    def url_of(self, what: str, key: Any) -> str:
        """The address of a page about ``key``."""
        return reverse(f"{self.admin_site.name}:{self.url_name(what)}", args=(quote(key.pk),))


def _render(part: str, key: Any, **context: Any) -> str:
    return render_to_string(f"frappe_tokens/admin/{part}.html", {"key": key, **context})
