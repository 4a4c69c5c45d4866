"""The views: the list of keys, and a page each to generate, rotate, rename and revoke a key.

A secret is only in the response to the POST that generated it: not in a message, session, cookie or
history entry, nor behind any URL.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable
from functools import partial, wraps

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.forms import Form
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.shortcuts import get_object_or_404
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from ..crypto import Secret
from ..form_fields import RevokeForm
from ..keys import (
    RESTRICTED,
    Actor,
    GeneratedKeys,
    change_key,
    create_key,
    generate_keys_for_source,
    lock_users,
    outside_atomic_requests,
    plan_for,
    revoke,
    version_for_new_key,
)
from ..models import ApiKey
from .forms import NewKeyForm, RenameForm, RotateForm

# How many revoked keys are listed: their number only grows.
REVOKED_SHOWN = 20

View = Callable[..., HttpResponse]


def _account_page(view: View) -> View:
    """Require a signed-in user who may have keys. Forbid caches, and POSTs from other sites.

    Until the end of a POST, others can't write the user's keys.
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
            return _notice(request, title, _why_refused(actor), status=403)
        if request.method != "POST":
            return view(request, actor, **kwargs)
        with transaction.atomic(using=router.db_for_write(ApiKey)):
            lock_users([request.user.pk], actor)
            return view(request, actor, **kwargs)

    return page


def _key_page(view: View) -> View:
    """Do the same for a page that changes one of the user's own keys."""

    @_account_page
    @wraps(view)
    def page(request: HttpRequest, actor: Actor, pk: int) -> HttpResponse:
        own = ApiKey.objects.stored().filter(user_id=request.user.pk)
        key: ApiKey = get_object_or_404(own, pk=pk)
        if key.is_revoked:
            problem = _("This API key was revoked, which is final. Generate a new key.")
            return _notice(request, _("Nothing was changed"), problem, status=409)
        return view(request, actor, key)

    return page


@_account_page
@require_safe
def keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List the user's own keys."""
    own = ApiKey.objects.stored().filter(user_id=request.user.pk).order_by("name", "pk")
    revoked = own.filter(revoked_at__isnull=False).order_by("-revoked_at", "-pk")
    context = {
        "owner": request.user,
        "keys": own.filter(live=True),
        "revoked": revoked[:REVOKED_SHOWN],
        "older": max(revoked.count() - REVOKED_SHOWN, 0),
        "now": timezone.now(),
    }
    return TemplateResponse(request, "frappe_tokens/account/keys.html", context)


@_account_page
def new_key(request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET asks what the key may do. POST generates it and shows its secret once."""
    form, version = NewKeyForm(_posted(request)), version_for_new_key(request.user)
    return _generate(request, "new", form, version, partial(create_key, request.user, by=actor))


@_key_page
def rotate_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """GET asks how long the current secret keeps working, and for an expiry. POST replaces it."""
    form = RotateForm(_posted(request), expires_at=key.expires_at)
    (plan,) = plan_for([request.user], actor, key.name)
    generate = partial(generate_keys_for_source, key, by=actor)
    return _generate(request, "rotate", form, plan.version, generate, plan=plan)


@_key_page
def rename_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """GET asks for a new name. POST sets it."""
    form = RenameForm(_posted(request), initial={"name": key.name})
    if form.is_valid():
        try:
            change_key(key, by=actor, name=form.cleaned_data["name"])
        except ValidationError as error:
            form.add_error("name", error.messages)
        else:
            return _done(request, _("Renamed API key %(api_key)s."), key)
    return _form_page(request, "rename", form, key=key)


@_key_page
def revoke_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """GET asks for a reason. POST revokes."""
    form = RevokeForm(_posted(request))
    if form.is_valid():
        revoke(key, reason=form.cleaned_data["reason"], by=actor)
        return _done(request, _("Revoked API key %(api_key)s."), key)
    return _form_page(request, "revoke", form, key=key)


def _posted(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


@sensitive_variables()
def _generate(
    request: HttpRequest,
    name: str,
    form: Form,
    version: str,
    generate: Callable[..., GeneratedKeys],
    **context: object,
) -> HttpResponse:
    """Show ``form``; on POST, generate as it says and show the secret.

    Nothing is generated if the keys have changed since the form was loaded, for example by sending
    it twice: ``version`` is another one then.
    """
    stale = request.method == "POST" and request.POST.get("version") != version
    if not stale and form.is_valid():
        try:
            return _generated(request, generate(**form.cleaned_data))
        except ValidationError as error:
            field = {"name_taken": "name", "expiry": "expires_at"}.get(error.code or "")
            form.add_error(field, error)
    return _form_page(request, name, form, version=version, stale=stale, **context)


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


def _form_page(request: HttpRequest, name: str, form: Form, **context: object) -> HttpResponse:
    status = 409 if context.get("stale") else 200
    template = f"frappe_tokens/account/{name}.html"
    return TemplateResponse(request, template, {"form": form, **context}, status=status)


def _notice(request: HttpRequest, title: str, sentence: str, status: int) -> HttpResponse:
    context = {"title": title, "sentence": sentence, "has_access": status != 403}
    return TemplateResponse(request, "frappe_tokens/account/notice.html", context, status=status)


def _done(request: HttpRequest, text: str, key: ApiKey) -> HttpResponse:
    # A project may not use django.contrib.messages. The list shows the result too.
    messages.success(request, text % {"api_key": key.api_key}, fail_silently=True)
    return HttpResponseRedirect(reverse("frappe_tokens_account:keys"))


@sensitive_variables()
def _generated(request: HttpRequest, generated: GeneratedKeys) -> HttpResponse:
    try:
        path = reverse("frappe_tokens:get_logged_user")
    except NoReverseMatch:
        path = get_script_prefix()
    url = request.build_absolute_uri(path)
    curl = Secret(f"curl -H {shlex.quote(generated.header)} {shlex.quote(url)}")
    context = {"generated": generated, "curl": curl}
    return TemplateResponse(request, "frappe_tokens/account/generated.html", context)
