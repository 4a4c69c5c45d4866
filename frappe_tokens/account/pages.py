"""What the views share: who may open them, and their responses."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.db import router, transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.http import require_http_methods

from ..keys import RESTRICTED, Actor, lock_users, outside_atomic_requests
from ..models import ApiKey

View = Callable[..., HttpResponse]


def account_page(view: View) -> View:
    """Require a signed-in user who may have keys. Forbid caches, and POSTs from other sites.

    During a POST, no other request can write the user's keys.
    """

    @outside_atomic_requests
    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    @csrf_protect
    @login_required
    @wraps(view)
    def page(request: HttpRequest, **kwargs: int) -> HttpResponse:
        actor = Actor.of(request)
        if not actor.may_generate_for(request.user):
            title = _("You don't have access to this page")
            return notice(request, title, _why_refused(actor), status=403)
        if request.method != "POST":
            return view(request, actor, **kwargs)
        with transaction.atomic(using=router.db_for_write(ApiKey)):
            lock_users([request.user.pk], actor)
            return view(request, actor, **kwargs)

    return page


def key_page(view: View) -> View:
    """Do the same for a page that changes one of the user's own keys."""

    @account_page
    @wraps(view)
    def page(request: HttpRequest, actor: Actor, pk: int) -> HttpResponse:
        own = ApiKey.objects.stored().filter(user_id=request.user.pk)
        key: ApiKey = get_object_or_404(own, pk=pk)
        if key.is_revoked:
            problem = _("This API key was revoked, which is final. Generate a new key.")
            return notice(request, _("Nothing was changed"), problem, status=409)
        return view(request, actor, key)

    return page


def posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _why_refused(actor: Actor) -> str:
    if not actor.is_known:
        return _(
            "You can manage keys only in a session that you signed in to. Sign in again, without "
            "an Authorization header."
        )
    if actor.is_restricted:
        return str(RESTRICTED)
    if not actor.user.is_active:
        return _("Your account is inactive. Ask an administrator to activate it.")
    return _("On this site, users can't manage their own API keys. Ask an administrator for a key.")


def form_page(request: HttpRequest, name: str, form: Form, **context: object) -> HttpResponse:
    status = 409 if context.get("stale") else 200
    template = f"frappe_tokens/account/{name}.html"
    return TemplateResponse(request, template, {"form": form, **context}, status=status)


def notice(request: HttpRequest, title: str, sentence: str, status: int) -> HttpResponse:
    context = {"title": title, "sentence": sentence, "has_access": status != 403}
    return TemplateResponse(request, "frappe_tokens/account/notice.html", context, status=status)


def done(request: HttpRequest, text: str, key: ApiKey) -> HttpResponse:
    # A project may not use django.contrib.messages. The list shows the result too.
    messages.success(request, text % {"api_key": key.api_key}, fail_silently=True)
    return HttpResponseRedirect(reverse("frappe_tokens_account:keys"))
