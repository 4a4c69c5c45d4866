"""The views that list and change keys, and the one that signs out.

A secret is only in the response to the POST that generated it: not in a message, session, cookie or
history entry, nor behind any URL.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from django.conf import settings
from django.contrib.auth import logout
from django.core.exceptions import PermissionDenied, ValidationError
from django.forms import Form
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_POST, require_safe

from ..keys import (
    Actor,
    GeneratedKeys,
    change_key,
    create_key,
    disable,
    enable,
    generate_keys_for_source,
    plan_for,
    revoke,
    version_for_new_key,
)
from ..models import ApiKey
from ..ui import EXPIRING_DAYS, RevokeForm, trial_of
from ..verification import RequestInfo
from .forms import EditForm, NewKeyForm, RotateForm
from .pages import account_page, done, form_page, key_page, notice, posted

# The form fields that show the core's errors, by code.
FIELDS = {"name_taken": "name", "expiry": "expires_at", "scopes": "scopes"}

# How many revoked keys are listed: their number only grows.
REVOKED_SHOWN = 20


@account_page
@require_safe
def keys(request: HttpRequest, actor: Actor) -> HttpResponse:
    """List the user's own keys."""
    # A user looks for a new key at the top.
    own = ApiKey.objects.stored().filter(user_id=request.user.pk).order_by("-created_at", "-pk")
    revoked = own.filter(revoked_at__isnull=False).order_by("-revoked_at", "-pk")
    now = timezone.now()
    context = {
        "owner": request.user,
        "may_enable_all": actor.may_manage(request.user),
        "keys": own.filter(live=True),
        "revoked": revoked[:REVOKED_SHOWN],
        "older": max(revoked.count() - REVOKED_SHOWN, 0),
        "now": now,
        "soon": now + timedelta(days=EXPIRING_DAYS),
    }
    return TemplateResponse(request, "frappe_tokens/account/keys.html", context)


@account_page
def new_key(request: HttpRequest, actor: Actor) -> HttpResponse:
    """GET asks what the key may do. POST generates it and shows its secret once."""
    address = RequestInfo(request).address()
    may_extend = actor.may_manage(request.user)
    form = NewKeyForm(posted(request), may_extend=may_extend, address=address)
    version = version_for_new_key(request.user)
    return _generate(request, "new", form, version, partial(create_key, request.user, by=actor))


@key_page
def rotate_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """GET asks how long the current secret keeps working, and for an expiry. POST replaces it."""
    if key.is_disabled:
        problem = _("This API key is disabled. Enable it, then try again.")
        return notice(request, _("Nothing was generated"), problem, status=409)
    form = RotateForm(posted(request), expires_at=key.expires_at)
    if not key.secret_digest:
        del form.fields["grace"]
    (plan,) = plan_for([request.user], actor, key.name, may_renew=True)
    generate = partial(generate_keys_for_source, key, by=actor)
    return _generate(request, "rotate", form, plan.version, generate, plan=plan)


@key_page
def edit_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """GET asks for a name and description, and if the key may rotate itself. POST sets them."""
    form = EditForm(posted(request), may_extend=actor.may_manage(request.user), key=key)
    if form.is_valid():
        changes = {name: form.cleaned_data[name] for name in form.changed_data}
        try:
            change_key(key, by=actor, **changes)
        except ValidationError as error:
            form.add_error("name", error.messages)
        else:
            return done(request, _("Changed API key %(api_key)s."), key)
    return form_page(request, "edit", form, key=key)


@key_page
def disable_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """POST disables, without a question, because this can be undone."""
    if request.method == "POST":
        disable(key, by=actor)
        return done(request, _("Disabled API key %(api_key)s."), key)
    return redirect("frappe_tokens_account:keys")


@key_page
def enable_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """POST enables what the user disabled."""
    if request.method == "POST":
        try:
            enable(key, by=actor)
        except PermissionDenied as error:
            return notice(request, _("Nothing was changed"), str(error), status=409)
        return done(request, _("Enabled API key %(api_key)s."), key)
    return redirect("frappe_tokens_account:keys")


@key_page
def revoke_key(request: HttpRequest, actor: Actor, key: ApiKey) -> HttpResponse:
    """GET asks for a reason. POST revokes."""
    form = RevokeForm(posted(request))
    if form.is_valid():
        revoke(key, reason=form.cleaned_data["reason"], by=actor)
        return done(request, _("Revoked API key %(api_key)s."), key)
    return form_page(request, "revoke", form, key=key)


@never_cache
@csrf_protect
@require_POST
def sign_out(request: HttpRequest) -> HttpResponse:
    """End the session. A project that signs out elsewhere replaces the block ``sign_out``."""
    logout(request)
    return redirect(settings.LOGOUT_REDIRECT_URL or settings.LOGIN_URL)


@sensitive_variables()
def _generate(
    request: HttpRequest,
    name: str,
    form: Form,
    version: str,
    generate: Callable[..., GeneratedKeys],
    **context: object,
) -> HttpResponse:
    """Show ``form``; on POST, generate with its options and show the secret.

    Nothing is generated if the keys have changed since the form was loaded, for example because it
    was sent twice. ``version`` shows this.
    """
    stale = request.method == "POST" and request.POST.get("version") != version
    if not stale and form.is_valid():
        try:
            return _generated(request, generate(**form.cleaned_data))
        except ValidationError as error:
            field = FIELDS.get(error.code or "")
            form.add_error(field, error)
    return form_page(request, name, form, version=version, stale=stale, **context)


@sensitive_variables()
def _generated(request: HttpRequest, generated: GeneratedKeys) -> HttpResponse:
    context = {"generated": generated, "trial": trial_of(request, generated)}
    return TemplateResponse(request, "frappe_tokens/account/generated.html", context)
