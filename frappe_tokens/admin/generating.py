"""The pages that generate keys: first a confirmation, then the secrets, shown once.

A secret is only in the response to the POST that generated it: not in a message, session, cookie or
history entry, nor behind any URL.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from django.contrib.admin import ModelAdmin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..conf import conf
from ..crypto import Secret
from ..keys import GeneratedKeys, Plan, transaction_for
from ..verification import DEFAULT_SOURCE
from .log_entries import actor_of, log_on_many

# How many keys to generate a confirmation lists: nobody reads ten thousand lines.
LISTED_MAX = 300


class KeyGenerator(ABC):
    """Generates keys for objects of a ModelAdmin: for users, or for the rows of a source."""

    key_model: type[AbstractApiKey]
    # Why a plan is blocked whose object was deleted in the meantime.
    gone: str | Promise

    def __init__(self, model_admin: ModelAdmin[Any], request: HttpRequest) -> None:
        self.model_admin = model_admin
        self.request = request
        self.actor = actor_of(request)

    @abstractmethod
    def plan(self, objects: Iterable[Any]) -> list[Plan]:
        """Return a plan for each of ``objects``, in their order."""

    @abstractmethod
    def plan_again(self, plans: list[Plan]) -> list[Plan]:
        """Lock what ``plans`` are about, and plan for what is left of it as it is now."""

    @abstractmethod
    def generate(self, plans: Sequence[Plan]) -> list[GeneratedKeys]:
        """Generate for all of ``plans``, or for none of them if one fails."""

    @abstractmethod
    def describe(self, keys: GeneratedKeys) -> dict[str, str]:
        """Return the columns of the CSV file that say which key it is."""

    def page(self, obj: Model, back_url: str) -> HttpResponse:
        """Ask for confirmation; on POST, generate for ``obj`` and show the secret."""
        (plan,) = self.plan([obj])
        if plan.blocked_by and not self.actor.may_manage(plan.user):
            raise PermissionDenied(plan.blocked_by)
        return self._generate_or_confirm([plan], back_url, is_action=False)

    def action_page(self, objects: Iterable[Model]) -> HttpResponse:
        """Do the same for the objects that were selected in a list."""
        return self._generate_or_confirm(
            self.plan(objects), self.request.get_full_path(), is_action=True
        )

    @sensitive_variables()
    def secrets_page(
        self,
        plans: Sequence[Plan],
        generated: Sequence[GeneratedKeys],
        back_url: str,
        left_out: Sequence[Plan] | None = None,
    ) -> HttpResponse:
        """Show the secrets of ``plans``.

        ``left_out`` are the plans that were blocked; None if the page is about one key.
        """
        names = [
            name
            for name, label in conf.SOURCES.items()
            if label.lower() == self.key_model._meta.label_lower
        ]
        source = "" if not names or DEFAULT_SOURCE in names else names[0]
        context = page_context(self.model_admin, self.request, _("Keys generated"), back_url)
        context |= {
            "plan": plans[0] if left_out is None else None,
            "generated": [
                (plan.subject, keys) for plan, keys in zip(plans, generated, strict=True)
            ],
            "several": model_ngettext(self.model_admin.opts, len(generated)),
            "source": source and f"Frappe-Authorization-Source: {source}",
            "csv_link": _csv_link([(self.describe(keys), keys) for keys in generated]),
            "left_out": left_out,
        }
        return TemplateResponse(self.request, "frappe_tokens/admin/generated_keys.html", context)

    @sensitive_variables()
    def _generate_or_confirm(
        self, plans: list[Plan], back_url: str, *, is_action: bool
    ) -> HttpResponse:
        sent = self.request.POST.get("version")
        if sent is not None:
            with transaction_for(router.db_for_write(self.key_model)):
                # Under the locks: what was confirmed can't change before it's done.
                plans = self.plan_again(plans) or [
                    replace(plan, blocked_by=str(self.gone)) for plan in plans
                ]
                possible = [plan for plan in plans if not plan.blocked_by]
                if possible and sent == _version(plans):
                    generated = self.generate(possible)
                    text = _("Generated a secret for API key %(api_key)s.")
                    notes = (
                        (changed, text % {"api_key": keys.api_key})
                        for keys in generated
                        for changed in (keys.instance.user, keys.instance)
                    )
                    log_on_many(self.model_admin, self.request, notes)
                    left_out = [plan for plan in plans if plan.blocked_by] if is_action else None
                    return self.secrets_page(possible, generated, back_url, left_out)
        possible = [plan for plan in plans if not plan.blocked_by]
        context = page_context(self.model_admin, self.request, _("Generate Keys"), back_url)
        context |= {
            "possible": possible,
            "version": _version(plans),
            "grace": conf.ROTATION_GRACE,
            "grace_ends": timezone.now() + conf.ROTATION_GRACE,
            "stale": sent is not None,
        }
        if is_action:
            context |= self._listed(plans, possible)
        else:
            context["plan"] = plans[0]
        template = f"frappe_tokens/admin/generate_keys{'_selected' if is_action else ''}.html"
        status = 200 if sent is None else 409
        return TemplateResponse(self.request, template, context, status=status)

    def _listed(self, plans: list[Plan], possible: list[Plan]) -> dict[str, object]:
        """Return the context of a confirmation for a list's action."""
        blocked = [plan for plan in plans if plan.blocked_by]
        more = possible[LISTED_MAX:]
        select_across = self.request.POST.get("select_across") == "1"
        opts = self.model_admin.opts
        return {
            # All that are blocked: each has its own reason.
            "plans": [*blocked, *possible[:LISTED_MAX]],
            "more": len(more),
            "more_that_stay": sum(plan.key is not None for plan in more),
            "several": model_ngettext(opts, len(possible)),
            "more_of_them": model_ngettext(opts, len(more)),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "select_across": int(select_across),
            # One stands for all: Django accepts at most 1,000 fields in a form.
            "carried": plans[:1] if select_across else plans,
        }


def page_context(
    model_admin: ModelAdmin[Any], request: HttpRequest, title: str, back_url: str
) -> dict[str, object]:
    """Return what ``frappe_tokens/admin/page.html`` needs."""
    request.current_app = model_admin.admin_site.name
    return {
        **model_admin.admin_site.each_context(request),
        "title": title,
        "opts": model_admin.opts,
        "media": model_admin.media,
        "back_url": back_url,
    }


def _version(plans: Iterable[Plan]) -> str:
    return hashlib.sha256("".join(plan.version for plan in plans).encode()).hexdigest()


def _csv_link(rows: Sequence[tuple[dict[str, str], GeneratedKeys]]) -> Secret:
    """Return a data URL of the CSV file: the server doesn't have to store it for the download."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow([*rows[0][0], "api_key", "api_secret"])
    for description, keys in rows:
        writer.writerow([*map(_harmless, description.values()), keys.api_key, keys.api_secret])
    content = base64.b64encode(text.getvalue().encode()).decode()
    # A Secret, because error pages of templates print their context.
    return Secret(f"data:text/csv;charset=utf-8;base64,{content}")


def _harmless(text: str) -> str:
    """Quote ``text`` if a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
