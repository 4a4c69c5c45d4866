"""The pages that generate keys: what will happen, and then the secrets, this once.

A secret is rendered into the answer to the POST that made it. It is in no message, session, cookie
or history entry, and no address leads to it.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib.admin import ModelAdmin
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..actors import Actor, check_target
from ..conf import conf
from ..crypto import Secret
from ..keys import GeneratedKeys, generate_keys
from ..models import ApiKey


@dataclass(frozen=True, slots=True)
class Plan:
    """What generating for one user and name would do.

    Attributes:
        user: whose key it is.
        name: which of the user's keys.
        key: the live key, which stays and gets a new secret; None where one will be made.
        obstacle: why it cannot be done, in words; "" where it can.
    """

    user: Any
    name: str
    key: ApiKey | None
    obstacle: str

    @property
    def version(self) -> str:
        """Changes with every generation, so that a form which was sent already is told."""
        state = (self.key.pk, self.key.rotated_at) if self.key else None
        return hashlib.sha256(repr((self.user.pk, self.name, state)).encode()).hexdigest()


def plan_for(users: Iterable[Any], actor: Actor, name: str = "") -> list[Plan]:
    """A plan for each of ``users``, with one query for all their keys."""
    users = list(users)
    live = ApiKey.objects.filter(user__in=users, name=name, live=True)
    keys = {key.user_id: key for key in live}
    plans = []
    for user in users:
        key = keys.get(user.pk)
        plans.append(Plan(user, name, key, _obstacle(user, key, actor)))
    return plans


def generate_page(
    model_admin: ModelAdmin[Any], request: HttpRequest, plan: Plan, back_url: str
) -> HttpResponse:
    """The page for one key: a confirmation, and on POST the secret."""
    if plan.obstacle and not Actor(request.user).may_generate_for(plan.user):
        raise PermissionDenied(plan.obstacle)
    return _page(model_admin, request, [plan], plan.version, back_url, {"plan": plan})


def generate_selected_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    plans: Sequence[Plan],
    back_url: str,
    context: dict[str, Any],
) -> HttpResponse:
    """The page for several users, reached from a list's action; ``context`` carries its form."""
    version = hashlib.sha256("".join(plan.version for plan in plans).encode()).hexdigest()
    return _page(model_admin, request, plans, version, back_url, {"plans": plans, **context})


def generated_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    generated: Sequence[GeneratedKeys],
    back_url: str,
    **extra: Any,
) -> HttpResponse:
    """The secrets, this once. ``extra``: the ``plan`` of a single key, or those ``left_out``."""
    context = {
        **_context(model_admin, request, _("Keys generated"), back_url),
        "generated": generated,
        "csv_link": _csv_link(generated),
        **extra,
    }
    return TemplateResponse(request, "frappe_tokens/admin/generated_keys.html", context)


@sensitive_variables()
def _page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    plans: Sequence[Plan],
    version: str,
    back_url: str,
    extra: dict[str, Any],
) -> HttpResponse:
    possible = [plan for plan in plans if not plan.obstacle]
    sent = request.POST.get("version")
    if sent == version and possible:
        generated = _generate(model_admin, request, possible)
        left_out = [plan for plan in plans if plan.obstacle]
        return generated_page(model_admin, request, generated, back_url, left_out=left_out, **extra)
    context = {
        **_context(model_admin, request, _("Generate Keys"), back_url),
        "possible": possible,
        "version": version,
        "grace": conf.ROTATION_GRACE,
        "grace_ends": timezone.now() + conf.ROTATION_GRACE,
        "stale": sent is not None,
        **extra,
    }
    form_name = "generate_keys.html" if "plan" in extra else "generate_keys_selected.html"
    return TemplateResponse(
        request,
        f"frappe_tokens/admin/{form_name}",
        context,
        status=409 if sent is not None else 200,
    )


def _context(
    model_admin: ModelAdmin[Any], request: HttpRequest, title: str, back_url: str
) -> dict[str, Any]:
    request.current_app = model_admin.admin_site.name
    return {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "media": model_admin.media,
        "back_url": back_url,
    }


def _generate(
    model_admin: ModelAdmin[Any], request: HttpRequest, plans: Sequence[Plan]
) -> list[GeneratedKeys]:
    """Generate for every plan, or, where one fails, for none."""
    actor = Actor(request.user)
    with transaction.atomic(using=router.db_for_write(ApiKey)):
        made = [generate_keys(plan.user, name=plan.name, by=actor) for plan in plans]
        for plan, generated in zip(plans, made, strict=True):
            note = _("Generated a secret for API key %(api_key)s.") % {"api_key": generated.api_key}
            log_on(model_admin, request, note, plan.user, generated.instance)
    return made


def log_on(model_admin: ModelAdmin[Any], request: HttpRequest, note: str, *objects: Any) -> None:
    """Write ``note`` into the admin history of each of ``objects``."""
    for changed in objects:
        model_admin.log_change(request, changed, note)


def _obstacle(user: Any, key: ApiKey | None, actor: Actor) -> str:
    try:
        check_target(user, actor)
    except PermissionDenied as error:
        return str(error)
    except ValidationError as error:
        return " ".join(error.messages)
    if key is not None and key.is_expired():
        return _("The API key has expired. Give it a later expiry under API keys, or revoke it.")
    return ""


def _csv_link(generated: Iterable[GeneratedKeys]) -> Secret:
    """A link that is the file: nothing has to be kept on the server for the download."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["user", "api_key", "api_secret"])
    for made in generated:
        username = made.instance.user.get_username()
        # A spreadsheet would run a username that begins like a formula.
        quoted = "'" + username if username.startswith(("=", "+", "-", "@")) else username
        writer.writerow([quoted, made.api_key, made.api_secret])
    content = base64.b64encode(text.getvalue().encode()).decode()
    # A template's error prints its context.
    return Secret(f"data:text/csv;charset=utf-8;base64,{content}")
