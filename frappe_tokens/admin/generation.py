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
from dataclasses import replace
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..actors import Actor
from ..conf import conf
from ..crypto import Secret
from ..keys import GeneratedKeys, generate_keys, generate_keys_for_users
from ..locking import lock_users
from ..models import ApiKey
from .history import actor_of, log_on, log_on_many
from .plans import Plan, plan_for, shown_and_counted


def generate_page(
    model_admin: ModelAdmin[Any], request: HttpRequest, plan: Plan, back_url: str
) -> HttpResponse:
    """The page for one key: a confirmation, and on POST the secret."""
    if plan.obstacle and not actor_of(request).may_manage(plan.user):
        raise PermissionDenied(plan.obstacle)
    return _page(model_admin, request, [plan], back_url, None)


def generate_selected_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    plans: list[Plan],
    back_url: str,
    select_across: bool,
) -> HttpResponse:
    """The page for several users, reached from a list's action.

    Args:
        select_across: all rows of the list were chosen, and not only those that were ticked.
    """
    return _page(model_admin, request, plans, back_url, select_across)


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
    plans: list[Plan],
    back_url: str,
    select_across: bool | None,
) -> HttpResponse:
    """Either page; ``select_across`` is None on the page for one key."""
    sent = request.POST.get("version")
    if sent is not None:
        with transaction.atomic(using=router.db_for_write(ApiKey)):
            # Under the locks, so that what was confirmed is still so when it is done.
            plans = _plan_again(plans, actor_of(request))
            if sent == _version(plans) and any(not plan.obstacle for plan in plans):
                if select_across is None:
                    generated = _generate_one(model_admin, request, plans[0])
                    extra: dict[str, Any] = {"plan": plans[0]}
                else:
                    generated = _generate(model_admin, request, plans)
                    extra = {"left_out": [plan for plan in plans if plan.obstacle]}
                return generated_page(model_admin, request, generated, back_url, **extra)
    context = {
        **_context(model_admin, request, _("Generate Keys"), back_url),
        "possible": [plan for plan in plans if not plan.obstacle],
        "version": _version(plans),
        "grace": conf.ROTATION_GRACE,
        "grace_ends": timezone.now() + conf.ROTATION_GRACE,
        "stale": sent is not None,
    }
    if select_across is None:
        template = "generate_keys.html"
        context["plan"] = plans[0]
    else:
        template = "generate_keys_selected.html"
        shown, more = shown_and_counted(plans)
        context |= {
            "plans": shown,
            "more": len(more),
            "more_that_stay": sum(plan.key is not None for plan in more),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "select_across": int(select_across),
            # One stands for all of them: Django takes no more than 1,000 fields of a form.
            "carried": plans[:1] if select_across else plans,
        }
    return TemplateResponse(
        request,
        f"frappe_tokens/admin/{template}",
        context,
        status=409 if sent is not None else 200,
    )


def _plan_again(plans: Iterable[Plan], actor: Actor) -> list[Plan]:
    """Lock the users of ``plans`` and plan for them as they are now."""
    plans = list(plans)
    locked = lock_users([plan.user.pk for plan in plans], actor)
    users = [locked[plan.user.pk] for plan in plans if plan.user.pk in locked]
    again = plan_for(users, actor, plans[0].name if plans else "")
    # The page for one key needs its plan, also where the user was deleted meanwhile.
    gone = _("This user does not exist any more.")
    return again or [replace(plan, obstacle=gone) for plan in plans]


def _version(plans: Iterable[Plan]) -> str:
    return hashlib.sha256("".join(plan.version for plan in plans).encode()).hexdigest()


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
    model_admin: ModelAdmin[Any], request: HttpRequest, plans: Iterable[Plan]
) -> list[GeneratedKeys]:
    """Generate for every plan that can be done, or, where one of these fails, for none."""
    actor = actor_of(request)
    possible = [plan for plan in plans if not plan.obstacle]
    users = [plan.user for plan in possible]
    made = generate_keys_for_users(users, name=possible[0].name, by=actor)
    notes = (
        (changed, _("Generated a secret for API key %(api_key)s.") % {"api_key": keys.api_key})
        for user, keys in zip(users, made, strict=True)
        for changed in (user, keys.instance)
    )
    log_on_many(model_admin, request, notes)
    return made


def _generate_one(
    model_admin: ModelAdmin[Any], request: HttpRequest, plan: Plan
) -> list[GeneratedKeys]:
    made = generate_keys(plan.user, name=plan.name, by=actor_of(request))
    note = _("Generated a secret for API key %(api_key)s.") % {"api_key": made.api_key}
    log_on(model_admin, request, note, plan.user, made.instance)
    return [made]


def _csv_link(generated: Iterable[GeneratedKeys]) -> Secret:
    """A link that is the file: nothing has to be kept on the server for the download."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["user", "api_key", "api_secret"])
    for made in generated:
        username = made.instance.user.get_username()
        # A spreadsheet would run a username that begins like a formula.
        if username.startswith(("=", "+", "-", "@", "\t", "\r", "\n")):
            username = "'" + username
        writer.writerow([username, made.api_key, made.api_secret])
    content = base64.b64encode(text.getvalue().encode()).decode()
    # A template's error prints its context.
    return Secret(f"data:text/csv;charset=utf-8;base64,{content}")
