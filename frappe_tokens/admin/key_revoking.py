"""The action of lists of keys that revokes them, all or none."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import router
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext_lazy as _
from django.utils.translation import ngettext

from ..base_models import AbstractApiKey
from ..keys import Actor, lock_rows, revoke, transaction_for
from ..ui import RevokeForm
from .disabling import DisablingActionsMixin
from .generating import LISTED_MAX
from .key_export import KeyExportMixin


class KeyActionsMixin(KeyExportMixin, DisablingActionsMixin):
    """All actions of a list of keys."""

    own_actions = (*DisablingActionsMixin.own_actions, "revoke_keys", *KeyExportMixin.own_actions)

    @admin.action(permissions=["generate_keys"], description=_("Revoke selected keys"))
    def revoke_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse | None:
        """Ask for confirmation and a reason, then revoke what was confirmed, or nothing."""
        actor, sent = Actor.of(request), request.POST.get("version")
        shown = [key for key in queryset if self.has_view_or_change_permission(request, key)]
        with transaction_for(router.db_for_write(self.model)):
            # Locked, so that what was confirmed can't change before it's done.
            rows = lock_rows(self.model, shown, actor) if sent else self._stored(shown)
            keys = [rows[key.pk] for key in shown if key.pk in rows]
            actor.preload(key.user for key in keys)
            possible = [key for key in keys if self._is_revocable(key, actor)]
            version = hashlib.sha256(",".join(str(key.pk) for key in possible).encode()).hexdigest()
            form = RevokeForm(request.POST if sent == version else None)
            if possible and form.is_valid():
                by = actor.changing(len(possible))
                for key in possible:
                    revoke(key, reason=form.cleaned_data["reason"], by=by)
                text = ngettext(
                    "Revoked %(count)d API key.", "Revoked %(count)d API keys.", len(possible)
                )
                self.message_user(request, text % {"count": len(possible)}, messages.SUCCESS)
                return None
        return self._confirmation(request, form, version, possible, keys)

    def _confirmation(
        self,
        request: HttpRequest,
        form: RevokeForm,
        version: str,
        possible: list[AbstractApiKey],
        keys: list[AbstractApiKey],
    ) -> HttpResponse:
        possible_pks = {key.pk for key in possible}
        left_out = [key for key in keys if key.pk not in possible_pks]
        select_across = request.POST.get("select_across") == "1"
        stale = "version" in request.POST and not form.is_bound
        page = self.render_page(
            request,
            "revoke_keys_selected",
            _("Revoke API keys"),
            request.get_full_path(),
            form=form,
            version=version,
            stale=stale,
            keys=possible[:LISTED_MAX],
            count=len(possible),
            more=len(possible[LISTED_MAX:]),
            left_out=left_out[:LISTED_MAX],
            left_out_count=len(left_out),
            action_checkbox_name=ACTION_CHECKBOX_NAME,
            select_across=int(select_across),
            # One is enough for all: Django accepts at most 1,000 fields in a form.
            carried=[*possible, *left_out][: 1 if select_across else None],
        )
        page.status_code = 409 if stale else 200
        return page

    def _stored(self, keys: Iterable[AbstractApiKey]) -> dict[object, AbstractApiKey]:
        # From the database for writing keys: a replica may not know yet that this form was already
        # sent.
        rows = self.model._base_manager.using(router.db_for_write(self.model))
        found: dict[object, AbstractApiKey] = rows.select_related("user").in_bulk(
            [key.pk for key in keys]
        )
        return found

    def _is_revocable(self, key: AbstractApiKey, actor: Actor) -> bool:
        return not key.is_revoked and actor.has_permission_for(key.user)
