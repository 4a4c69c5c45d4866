"""Disables and enables keys by one POST, without a confirmation, because it can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern
from django.utils.translation import gettext, ngettext
from django.utils.translation import gettext_lazy as _

from ..base_models import AbstractApiKey
from ..keys import Actor, disable, enable, lock_rows, transaction_for
from .generating import ApiAccessBase, part

DISABLE, ENABLE = "api_access_disable", "api_access_enable"

Change = Callable[..., bool]


class DisablingMixin(ApiAccessBase):
    """The buttons *Disable* and *Enable* in the section *API Access*."""

    api_access_disable = part("disable", _("Access"), "disable_key")
    api_access_enable = part("enable", _("Access"), "enable_key")

    def get_urls(self) -> list[URLPattern]:
        return [
            self._path_of("disable_key", self.disable_key_view),
            self._path_of("enable_key", self.enable_key_view),
            *super().get_urls(),
        ]

    def disable_key_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """POST disables the key of an object."""
        return self._change(request, object_id, disable, gettext("Disabled API key %(api_key)s."))

    def enable_key_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """POST enables the key of an object."""
        return self._change(request, object_id, enable, gettext("Enabled API key %(api_key)s."))

    def _change(
        self, request: HttpRequest, object_id: str, change: Change, text: str
    ) -> HttpResponse:
        obj = self._get_live_object(request, object_id)
        key: Any = self.api_access(obj)["key"]
        if key is None:
            raise Http404
        # The login page redirects here by GET.
        if request.method == "POST":
            try:
                change(key, by=Actor.of(request))
            except ValidationError as error:  # revoked in the meantime
                self.message_user(request, error.messages[0], messages.ERROR)
            else:
                self.message_user(request, text % {"api_key": key.api_key}, messages.SUCCESS)
        return HttpResponseRedirect(self._url_of("change", obj))


class DisablingActionsMixin(DisablingMixin):
    """Also the actions of a list of keys."""

    own_actions = (*DisablingMixin.own_actions, "disable_keys", "enable_keys")

    @admin.action(permissions=["generate_keys"], description=_("Disable selected keys"))
    def disable_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = self._change_all(request, queryset, disable)
        if count:
            text = ngettext("Disabled %(count)d API key.", "Disabled %(count)d API keys.", count)
            self.message_user(request, text % {"count": count}, messages.SUCCESS)

    @admin.action(permissions=["generate_keys"], description=_("Enable selected keys"))
    def enable_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        count = self._change_all(request, queryset, enable)
        if count:
            text = ngettext("Enabled %(count)d API key.", "Enabled %(count)d API keys.", count)
            self.message_user(request, text % {"count": count}, messages.SUCCESS)

    def _change_all(
        self, request: HttpRequest, keys: Iterable[AbstractApiKey], change: Change
    ) -> int:
        """Change those of ``keys`` that may be changed, and return how many of them changed."""
        actor, changed, left_out = Actor.of(request), 0, 0
        keys = [key for key in keys if self.has_view_or_change_permission(request, key)]
        with transaction_for(router.db_for_write(self.model)):
            # Lock all at once: each call would lock its own user and row, in the order of the list.
            rows = lock_rows(self.model, keys, actor).values()
            actor = actor.changing(len(rows))
            actor.preload(key.user for key in rows)
            for key in rows:
                try:
                    changed += change(key, by=actor)
                except (PermissionDenied, ValidationError):
                    left_out += 1
        if left_out:
            text = ngettext(
                "%(count)d key was left out. It is revoked, or you can't manage its user's keys.",
                "%(count)d keys were left out. They are revoked, or you can't manage their users' "
                "keys.",
                left_out,
            )
            self.message_user(request, text % {"count": left_out}, messages.WARNING)
        elif not changed:
            self.message_user(request, _("Nothing was changed."), messages.INFO)
        return changed


def switch_for(key: AbstractApiKey, actor: Actor) -> list[str]:
    """Return the field with the button for ``key``, if ``actor`` may press it."""
    if not key.is_disabled:
        return [DISABLE]
    return [ENABLE] if actor.may_manage(key.user) else []
