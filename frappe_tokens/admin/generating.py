"""The pages that generate keys: first a confirmation, then the secrets, shown once.

A secret is only in the response to the POST that generated it: not in a message, session, cookie or
history entry, nor behind any URL.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext
from django.core.exceptions import PermissionDenied, ValidationError
from django.db import router
from django.http import Http404, HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..conf import conf
from ..crypto import Secret
from ..keys import (
    Actor,
    GeneratedKeys,
    Plan,
    check_reach,
    check_target,
    transaction_for,
)
from ..models import ApiKey
from ..verification import DEFAULT_SOURCE

# A confirmation lists at most so many keys to generate, because no one reads ten thousand lines.
LISTED_MAX = 300


@dataclass(frozen=True, slots=True)
class RowPlan(Plan):
    """What generating for one row of a source would do. ``key`` is the row."""

    key: AbstractApiKey

    @property
    def subject(self) -> object:
        return self.key


def plan_for_row(row: AbstractApiKey, actor: Actor) -> RowPlan:
    """Return what generating for ``row`` would do."""
    return RowPlan(row.user, "", row, _blocked_by(row, actor))


def _blocked_by(row: AbstractApiKey, actor: Actor) -> str:
    if row.is_revoked:
        return _("This API key was revoked, which is final. Generate a new key.")
    if row.user is None:
        return _("Choose the user that the key runs as first.")
    try:
        check_target(row.user, actor)
        check_reach(row, actor)
    except PermissionDenied as error:
        return str(error)
    except ValidationError as error:
        return " ".join(error.messages)
    if row.is_expired():
        return _("The API key has expired. Change its expiry on its page, or revoke it.")
    return ""


# At run time, ModelAdmin takes no type argument.
class KeyGenerator(admin.ModelAdmin):  # type: ignore[type-arg]
    """A ModelAdmin that generates keys for its objects: for users, or for the rows of a source."""

    @abstractmethod
    def _plan(self, objects: Sequence[Any], actor: Actor, *, lock: bool) -> list[Plan]:
        """Return a plan for each of ``objects``; with ``lock``, for those that remain, locked."""

    @abstractmethod
    def _generate(self, plans: Sequence[Plan], actor: Actor) -> list[GeneratedKeys]:
        """Generate for all of ``plans``, or for none of them if one fails."""

    @property
    def _key_model(self) -> type[AbstractApiKey]:
        return self.model if issubclass(self.model, AbstractApiKey) else ApiKey

    def render_page(
        self, request: HttpRequest, name: str, title: str, back_url: str, **context: object
    ) -> TemplateResponse:
        """Return a page that extends ``frappe_tokens/admin/page.html``."""
        request.current_app = self.admin_site.name
        context |= {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "media": self.media,
            "back_url": back_url,
        }
        return TemplateResponse(request, f"frappe_tokens/admin/{name}.html", context)

    @sensitive_variables()
    def generate_or_confirm(
        self, request: HttpRequest, objects: Sequence[Any], back_url: str, *, is_action: bool
    ) -> HttpResponse:
        """Ask for confirmation; on POST, generate for ``objects`` and show the secrets.

        ``is_action`` says that they were selected in a list, where those that are blocked are left
        out. Otherwise the page is about one object.
        """
        actor, sent = Actor.of(request), request.POST.get("version")
        with transaction_for(router.db_for_write(self._key_model)):
            # Under the locks: what was confirmed can't change before it's done.
            plans = self._plan(objects, actor, lock=sent is not None)
            possible = [plan for plan in plans if not plan.blocked_by]
            blocked = [plan for plan in plans if plan.blocked_by]
            if not is_action and not plans:
                raise Http404  # deleted in the meantime
            if not is_action and blocked and not actor.may_manage(blocked[0].user):
                raise PermissionDenied(blocked[0].blocked_by)
            version = hashlib.sha256("".join(plan.version for plan in plans).encode()).hexdigest()
            if possible and sent == version:
                generated = self._generate(possible, actor)
                pairs = [
                    (plan.subject, keys) for plan, keys in zip(possible, generated, strict=True)
                ]
                return self.secrets_page(request, pairs, back_url, blocked if is_action else None)
        context: dict[str, object] = {
            "version": version,
            "grace": conf.ROTATION_GRACE,
            "grace_ends": timezone.now() + conf.ROTATION_GRACE,
            "stale": sent is not None,
        }
        if is_action:
            context |= self._listed(request, possible, blocked)
        else:
            context["plan"] = plans[0]
        name = "generate_keys_selected" if is_action else "generate_keys"
        page = self.render_page(request, name, _("Generate Keys"), back_url, **context)
        page.status_code = 200 if sent is None else 409
        return page

    @sensitive_variables()
    def secrets_page(
        self,
        request: HttpRequest,
        generated: Sequence[tuple[object, GeneratedKeys]],
        back_url: str,
        left_out: Sequence[Plan] | None = None,
    ) -> HttpResponse:
        """Show the secrets of ``generated``, whose first items say what the keys are for.

        ``left_out`` are the plans that were blocked; None if the page is about one key.
        """
        label = self._key_model._meta.label_lower
        names = [name for name, model in conf.SOURCES.items() if model.lower() == label]
        source = "" if not names or DEFAULT_SOURCE in names else names[0]
        return self.render_page(
            request,
            "generated_keys",
            _("Keys generated"),
            back_url,
            subject=generated[0][0] if left_out is None else None,
            generated=generated,
            several=model_ngettext(self.opts, len(generated)),
            source=source and f"Frappe-Authorization-Source: {source}",
            csv_link=_csv_link(generated),
            left_out=left_out,
        )

    def _listed(
        self, request: HttpRequest, possible: list[Plan], blocked: list[Plan]
    ) -> dict[str, object]:
        """Return the context of a confirmation for a list's action."""
        more = possible[LISTED_MAX:]
        # All that are blocked: each has its own reason.
        plans = [*blocked, *possible]
        select_across = request.POST.get("select_across") == "1"
        return {
            "possible": possible,
            "plans": plans[: len(plans) - len(more)],
            "more": len(more),
            "more_that_stay": sum(plan.key is not None for plan in more),
            "several": model_ngettext(self.opts, len(possible)),
            "more_of_them": model_ngettext(self.opts, len(more)),
            "action_checkbox_name": ACTION_CHECKBOX_NAME,
            "select_across": int(select_across),
            # One stands for all: Django accepts at most 1,000 fields in a form.
            "carried": plans[:1] if select_across else plans,
        }


@sensitive_variables()
def _csv_link(generated: Iterable[tuple[object, GeneratedKeys]]) -> Secret:
    """Return a data URL of the CSV file: the server doesn't have to store it for the download."""
    rows = []
    for subject, keys in generated:
        row = {"user": _harmless(keys.instance.user.get_username())}
        if isinstance(subject, AbstractApiKey):
            row = {str(subject._meta.model_name): _harmless(str(subject)), **row}
        rows.append({**row, "api_key": keys.api_key, "api_secret": keys.api_secret})
    text = io.StringIO()
    writer = csv.DictWriter(text, rows[0])
    writer.writeheader()
    writer.writerows(rows)
    content = base64.b64encode(text.getvalue().encode()).decode()
    # A Secret, because error pages of templates print their context.
    return Secret(f"data:text/csv;charset=utf-8;base64,{content}")


def _harmless(text: str) -> str:
    """Quote ``text`` if a spreadsheet would run it as a formula."""
    return f"'{text}" if text.startswith(("=", "+", "-", "@", "\t", "\r", "\n")) else text
