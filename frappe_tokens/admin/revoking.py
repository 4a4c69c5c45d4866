"""The page that revokes a key."""

from __future__ import annotations

from typing import Any

from django.contrib import messages
from django.contrib.admin import ModelAdmin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from ..base_models import AbstractApiKey
from ..keys import revoke
from .key_forms import RevokeForm
from .log_entries import actor_of, log_on


def revoke_page(
    model_admin: ModelAdmin[Any], request: HttpRequest, key: AbstractApiKey, back_url: str
) -> HttpResponse:
    """GET asks for a reason, POST revokes ``key`` and goes to ``back_url``."""
    form = RevokeForm(request.POST or None)
    if request.method == "POST" and form.is_valid():
        revoke(key, reason=form.cleaned_data["reason"], by=actor_of(request))
        note = _("Revoked API key %(api_key)s.") % {"api_key": key.api_key}
        log_on(model_admin, request, note, *[told for told in (key, key.user) if told is not None])
        model_admin.message_user(request, note, messages.SUCCESS)
        return HttpResponseRedirect(back_url)
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Revoke API key"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "back_url": back_url,
        "key": key,
        "form": form,
    }
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(request, "frappe_tokens/admin/revoke_key.html", context)
