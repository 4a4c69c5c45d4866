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
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext
from django.core.exceptions import PermissionDenied
from django.db import router, transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..conf import conf
from ..crypto import Secret
from ..keys import GeneratedKeys, Plan, generate_keys, generate_keys_for_users, lock_users, plan_for
from ..models import ApiKey
from .log_entries import actor_of, log_on, log_on_many
from .plans import shown_and_counted


class KeysOfUsers:
    """What the pages generate: for each user, the key of one name."""

    def __init__(self, model_admin: ModelAdmin[Any], request: HttpRequest) -> None:
        self.model_admin = model_admin
        self.request = request
        self.actor = actor_of(request)

    def transaction(self) -> AbstractContextManager[Any]:
        return transaction.atomic(using=router.db_for_write(ApiKey))

    def plan_again(self, plans: list[Plan]) -> list[Plan]:
        """Lock the users of ``plans`` and plan for them as they are now."""
        locked = lock_users([plan.user.pk for plan in plans], self.actor)
        users = [locked[plan.user.pk] for plan in plans if plan.user.pk in locked]
        again = plan_for(users, self.actor, plans[0].name if plans else "")
        # The page for one key needs its plan, also where the user was deleted meanwhile.
        gone = _("This user no longer exists.")
        return again or [replace(plan, blocked_by=gone) for plan in plans]

    def generate_one(self, plan: Plan) -> GeneratedKeys:
        made = generate_keys(plan.user, name=plan.name, by=self.actor)
        log_on(self.model_admin, self.request, self.note(made), plan.user, made.instance)
        return made

    def generate(self, plans: Sequence[Plan]) -> list[GeneratedKeys]:
        """Generate for every one of ``plans``, or, where one fails, for none."""
        users = [plan.user for plan in plans]
        generated = generate_keys_for_users(users, name=plans[0].name, by=self.actor)
        notes = (
            (changed, self.note(made))
            for user, made in zip(users, generated, strict=True)
            for changed in (user, made.instance)
        )
        log_on_many(self.model_admin, self.request, notes)
        return generated

    def note(self, made: GeneratedKeys) -> str:
        return _("Generated a secret for API key %(api_key)s.") % {"api_key": made.api_key}

    def described(self, made: GeneratedKeys) -> dict[str, str]:
        """What tells a key from the others: the first columns of the table and of the file."""
        return {"user": made.instance.user.get_username()}

    def subject(self, made: GeneratedKeys) -> Any:
        """What the table calls the key by."""
        return made.instance.user

    @property
    def source(self) -> str:
        """What ``Frappe-Authorization-Source`` has to name; "" where it may be left out."""
        return ""


def generate_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    plan: Plan,
    back_url: str,
    kind: type[KeysOfUsers] = KeysOfUsers,
) -> HttpResponse:
    """The page for one key: a confirmation, and on POST the secret."""
    if plan.blocked_by and not actor_of(request).may_manage(plan.user):
        raise PermissionDenied(plan.blocked_by)
    return _page(kind(model_admin, request), [plan], back_url, None)


def generate_selected_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    plans: list[Plan],
    back_url: str,
    select_across: bool,
    kind: type[KeysOfUsers] = KeysOfUsers,
) -> HttpResponse:
    """The page for several keys, reached from a list's action.

    Args:
        select_across: all rows of the list were chosen, and not only those that were ticked.
    """
    return _page(kind(model_admin, request), plans, back_url, select_across)


@sensitive_variables()
def generated_page(
    model_admin: ModelAdmin[Any],
    request: HttpRequest,
    generated: Sequence[GeneratedKeys],
    back_url: str,
    kind: type[KeysOfUsers] = KeysOfUsers,
    **extra: Any,
) -> HttpResponse:
    """The secrets, this once. ``extra``: the ``plan`` of a single key, or those ``left_out``."""
    keys = kind(model_admin, request)
    context = {
        **_context(model_admin, request, _("Keys generated"), back_url),
        "generated": [(keys.subject(made), made) for made in generated],
        "several": model_ngettext(model_admin.opts, len(generated)),
        "source": keys.source,
        "csv_link": _csv_link([(keys.described(made), made) for made in generated]),
        **extra,
    }
    return TemplateResponse(request, "frappe_tokens/admin/generated_keys.html", context)


@sensitive_variables()
def _page(
    keys: KeysOfUsers, plans: list[Plan], back_url: str, select_across: bool | None
) -> HttpResponse:
    """Either page; ``select_across`` is None on the page for one key."""
    model_admin, request = keys.model_admin, keys.request
    sent = request.POST.get("version")
    if sent is not None:
        with keys.transaction():
            # Under the locks, so that what was confirmed is still so when it is done.
            plans = keys.plan_again(plans)
            possible = [plan for plan in plans if not plan.blocked_by]
            if sent == _version(plans) and possible:
                if select_across is None:
                    generated = [keys.generate_one(plans[0])]
                    extra: dict[str, Any] = {"plan": plans[0]}
                else:
                    generated = keys.generate(possible)
                    extra = {"left_out": [plan for plan in plans if plan.blocked_by]}
                return generated_page(
                    model_admin, request, generated, back_url, type(keys), **extra
                )
    possible = [plan for plan in plans if not plan.blocked_by]
    context = {
        **_context(model_admin, request, _("Generate Keys"), back_url),
        "possible": possible,
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
            "several": model_ngettext(model_admin.opts, len(possible)),
            "more_of_them": model_ngettext(model_admin.opts, len(more)),
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


def _csv_link(generated: Iterable[tuple[dict[str, str], GeneratedKeys]]) -> Secret:
    """A link that is the file: nothing has to be kept on the server for the download."""
    text = io.StringIO()
    writer = csv.writer(text)
    heads: list[str] = []
    for described, made in generated:
        if not heads:
            heads = [*described, "api_key", "api_secret"]
            writer.writerow(heads)
        writer.writerow([*map(_harmless, described.values()), made.api_key, made.api_secret])
    content = base64.b64encode(text.getvalue().encode()).decode()
    # A template's error prints its context.
    return Secret(f"data:text/csv;charset=utf-8;base64,{content}")


def _harmless(text: str) -> str:
    """``text``, which a spreadsheet would run if it began like a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
