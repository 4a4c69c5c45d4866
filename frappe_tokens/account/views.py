"""The views: what there is, and one page each for making, rotating, renaming and revoking a key.

A secret is rendered into the answer to the POST that made it. It is in no message, session, cookie
or history entry, and no address leads to it.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.exceptions import ValidationError
from django.db import router, transaction
from django.forms import Form
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect, QueryDict
from django.template.response import TemplateResponse
from django.urls import NoReverseMatch, get_script_prefix, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods, require_safe

from ..crypto import Secret
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
from .forms import NewKeyForm, RenameForm, RevokeForm, RotateForm

# Revoked keys that are listed: they only ever become more.
REVOKED_SHOWN = 20

View = Callable[..., HttpResponse]


def _account_page(view: View) -> View:
    """What all pages share: signed in, allowed, kept in no cache, and no POST from another site."""

    @outside_atomic_requests
    @never_cache
    @require_http_methods(["GET", "HEAD", "POST"])
    @csrf_protect
    @login_required
    @wraps(view)
    def page(request: HttpRequest, **arguments: Any) -> HttpResponse:
        actor = Actor.of(request)
        if not actor.may_generate_for(request.user):
            return _notice(request, _("Not open to you"), _why_refused(actor), status=403)
        return view(request, actor, **arguments)

    return page


@_account_page
@require_safe
def keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """The user's own keys."""
    own = _keys_now().filter(user_id=request.user.pk).order_by("name", "pk")
    revoked = own.filter(live=None).order_by("-revoked_at", "-pk")
    context = {
        "owner": request.user,
        "keys": own.filter(live=True),
        "revoked": revoked[:REVOKED_SHOWN],
        "older": max(revoked.count() - REVOKED_SHOWN, 0),
        "now": timezone.now(),
    }
    return TemplateResponse(request, "frappe_tokens/account/keys.html", context)


@_account_page
@sensitive_variables()
def new_key(request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET asks what the key may do, POST makes it and shows its secret once."""
    form = NewKeyForm(_sent(request))
    with _turn(request, actor):
        version = version_for_new_key(request.user)
        stale = _is_stale(request, version)
        if not stale and form.is_valid():
            try:
                return _generated(request, create_key(request.user, by=actor, **form.cleaned_data))
            except ValidationError as error:
                form.add_error("name" if error.code == "name_taken" else None, error)
        return _form_page(request, "new", form, version=version, stale=stale)


@_account_page
@sensitive_variables()
def rotate_key(request: HttpRequest, actor: Actor, pk: int) -> HttpResponse:
    """GET asks what is to become of the present secret, POST makes another and shows it once."""
    form = RotateForm(_sent(request))
    with _turn(request, actor):
        key = _own_key(request, pk)
        if problem := _why_no_secret(key):
            return _notice(request, _("Nothing was generated"), problem, status=409)
        (plan,) = plan_for([request.user], actor, key.name)
        stale = _is_stale(request, plan.version)
        if not stale and form.is_valid():
            try:
                return _generated(
                    request,
                    generate_keys_for_source(key, grace=form.cleaned_data["grace"], by=actor),
                )
            except ValidationError as error:
                form.add_error(None, error)
        return _form_page(request, "rotate", form, plan=plan, version=plan.version, stale=stale)


@_account_page
def rename_key(request: HttpRequest, actor: Actor, pk: int) -> HttpResponse:
    """GET asks for another name, POST gives it."""
    key = _own_key(request, pk)
    if key.is_revoked:
        return _notice(request, _("Nothing was changed"), _why_no_secret(key), status=409)
    form = RenameForm(_sent(request), initial={"name": key.name})
    if form.is_valid():
        try:
            change_key(key, by=actor, name=form.cleaned_data["name"])
        except ValidationError as error:
            form.add_error("name", error.messages)
        else:
            return _done(request, _("Renamed API key %(api_key)s."), key)
    return _form_page(request, "rename", form, key=key)


@_account_page
def revoke_key(request: HttpRequest, actor: Actor, pk: int) -> HttpResponse:
    """GET asks for a reason, POST revokes."""
    key = _own_key(request, pk)
    if key.is_revoked:
        return _notice(request, _("Already revoked"), _why_no_secret(key), status=409)
    form = RevokeForm(_sent(request))
    if form.is_valid():
        revoke(key, reason=form.cleaned_data["reason"], by=actor)
        return _done(request, _("Revoked API key %(api_key)s."), key)
    return _form_page(request, "revoke", form, key=key)


def _sent(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


@contextmanager
def _turn(request: HttpRequest, actor: Actor) -> Iterator[None]:
    """Until the end of a POST, nobody else writes this user's keys: what it asks stays so."""
    if request.method != "POST":
        yield
        return
    with transaction.atomic(using=router.db_for_write(ApiKey)):
        lock_users([request.user.pk], actor)
        yield


def _is_stale(request: HttpRequest, version: str) -> bool:
    """Whether the form was made for another state of things, such as before it was sent once."""
    return request.method == "POST" and request.POST.get("version") != version


def _keys_now() -> Any:
    # From where they are written: a replica may not know yet what this very user has just done.
    return ApiKey.objects.using(router.db_for_write(ApiKey))


def _own_key(request: HttpRequest, pk: int) -> ApiKey:
    # Another user's key is no more to be found than one that does not exist.
    key: ApiKey | None = _keys_now().filter(user_id=request.user.pk, pk=pk).first()
    if key is None:
        raise Http404(_("You have no such API key."))
    return key


def _why_no_secret(key: ApiKey) -> str:
    """Why ``key`` takes no new secret; "" if it does."""
    if key.is_revoked:
        return _("This API key was revoked, which is final. Generate a new key.")
    if key.is_expired():
        return _("This API key has expired. Revoke it and make a new key.")
    return ""


def _why_refused(actor: Actor) -> str:
    if not actor.is_known:
        return _(
            "Keys are managed here only in a session that you signed in to. Sign in again, and "
            "send no Authorization header."
        )
    if actor.is_restricted:
        return str(RESTRICTED)
    if not actor.user.is_active:
        return _("Your account is inactive. Ask an administrator to activate it.")
    return _(
        "On this site, users do not manage their own API keys. Ask an administrator for a key."
    )


def _form_page(request: HttpRequest, name: str, form: Form, **context: Any) -> HttpResponse:
    status = 409 if context.get("stale") else 200
    template = f"frappe_tokens/account/{name}.html"
    return TemplateResponse(request, template, {"form": form, **context}, status=status)


def _notice(request: HttpRequest, title: str, sentence: str, status: int) -> HttpResponse:
    context = {"title": title, "sentence": sentence, "may": status != 403}
    return TemplateResponse(request, "frappe_tokens/account/notice.html", context, status=status)


def _done(request: HttpRequest, note: str, key: ApiKey) -> HttpResponse:
    # A project may do without django.contrib.messages; the list shows what was done as well.
    messages.success(request, note % {"api_key": key.api_key}, fail_silently=True)
    return HttpResponseRedirect(reverse("frappe_tokens_account:keys"))


@sensitive_variables()
def _generated(request: HttpRequest, made: GeneratedKeys) -> HttpResponse:
    context = {"made": made, "curl": _curl(request, made)}
    return TemplateResponse(request, "frappe_tokens/account/generated.html", context)


@sensitive_variables()
def _curl(request: HttpRequest, made: GeneratedKeys) -> Secret:
    """A command that asks this very site whom the key runs as."""
    try:
        path = reverse("frappe_tokens:get_logged_user")
    except NoReverseMatch:
        path = get_script_prefix()
    address = request.build_absolute_uri(path)
    return Secret(f"curl -H {shlex.quote(made.header)} {shlex.quote(address)}")
