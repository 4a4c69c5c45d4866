"""The pages that generate keys: first a confirmation, then the secrets, shown once.

A secret is only in the response to the POST that generated it: not in a message, session, cookie or
history entry, nor behind any URL.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext, unquote
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Model, QuerySet
from django.forms import Form, Media
from django.http import Http404, HttpRequest, HttpResponse, QueryDict
from django.template.loader import render_to_string
from django.urls import URLPattern
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..keys import BEYOND_RIGHTS, Actor, GeneratedKeys, Plan, transaction_for
from ..ui import GraceForm, RenewalForm, RotationForm
from .bases import MEDIA
from .secret_pages import PagesMixin

# A confirmation lists at most this many keys, because no one reads ten thousand lines.
LISTED_MAX = 300

KEY_FIELDS = ("api_access_key", "api_access_state", "api_access_last_used")
GENERATE, REFUSED = "api_access_generate", "api_access_refused"
REQUESTS = "api_access_requests"


def part(name: str, label: Any, page: str = "") -> Callable[[Any, Model], str]:
    """Return a field of the section that a template renders, with the URL of ``page`` if any."""

    @admin.display(description=label)
    def render(model_admin: ApiAccessBase, obj: Model) -> str:
        context = {**model_admin.api_access(obj), "url": page and model_admin._url_of(page, obj)}
        return render_to_string(f"frappe_tokens/admin/api_access_{name}.html", context)

    return render


class ApiAccessBase(PagesMixin):
    """A ModelAdmin of users or of keys, with *API Access* and the action *Generate Keys*."""

    own_actions: ClassVar[tuple[str, ...]] = ("generate_keys",)

    api_access_key = part("key", _("API key"))
    api_access_state = part("state", _("State"))
    api_access_last_used = part("last_used", _("Last used"))
    api_access_generate = part("generate", _("API secret"), "generate_keys")

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        # Subclasses usually replace the class's ``actions``. None: the project wants no actions.
        if self.actions is not None:
            self.actions = list(dict.fromkeys([*self.actions, *self.own_actions]))

    @property
    def media(self) -> Media:
        return super().media + MEDIA

    def get_urls(self) -> list[URLPattern]:
        return [self._path_of("generate_keys", self.generate_keys_view), *super().get_urls()]

    def has_generate_keys_permission(self, request: HttpRequest) -> bool:
        """Django calls this before it offers or runs the action."""
        return (actor := Actor.of(request)).may_generate or actor.is_lead

    @abstractmethod
    def api_access(self, obj: Any) -> Mapping[str, object]:
        """Return the context of the section's templates.

        ``key`` is the current key. ``latest`` may be a revoked one.
        """

    @abstractmethod
    def _plan(
        self, objects: Sequence[Any], actor: Actor, *, lock: bool, may_renew: bool
    ) -> list[Plan]:
        """Return a plan for each of ``objects``; with ``lock``, lock those that still exist."""

    @abstractmethod
    def _generate(
        self, plans: Sequence[Plan], actor: Actor, options: Mapping[str, Any]
    ) -> list[GeneratedKeys]:
        """Generate for all of ``plans``, or for none of them if one fails.

        ``options`` has ``grace`` and ``expires_at``, if the page asked for them.
        """

    @admin.display(description=_("API secret"))
    def api_access_refused(self, obj: Model) -> str:
        return str(BEYOND_RIGHTS)

    def generate_keys_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """GET asks for confirmation. POST generates and shows the secret once."""
        obj = self._get_live_object(request, object_id)
        back_url = self._url_of("change", obj)
        return self.generate_or_confirm(request, [obj], back_url, is_action=False)

    @admin.action(permissions=["generate_keys"], description=_("Generate Keys"))
    def generate_keys(self, request: HttpRequest, queryset: QuerySet[Any]) -> HttpResponse:
        """Ask for confirmation, then show all secrets on one page."""
        objects = [obj for obj in queryset if self.has_view_or_change_permission(request, obj)]
        return self.generate_or_confirm(request, objects, request.get_full_path(), is_action=True)

    def _get_live_object(self, request: HttpRequest, object_id: str) -> Any:
        actor = Actor.of(request)
        may_ask = actor.may_generate or actor.may_lead
        obj = self.get_object(request, unquote(object_id)) if may_ask else None
        owner = obj.user if isinstance(obj, AbstractApiKey) else obj
        if not actor.has_permission_for(owner):
            raise PermissionDenied
        if obj is None or (isinstance(obj, AbstractApiKey) and obj.is_revoked):
            raise Http404
        if not self.has_view_or_change_permission(request, obj):
            raise PermissionDenied
        return obj

    @sensitive_variables()
    def generate_or_confirm(
        self, request: HttpRequest, objects: Sequence[Any], back_url: str, *, is_action: bool
    ) -> HttpResponse:
        """Ask for confirmation; on POST, generate for ``objects`` and show the secrets.

        With ``is_action``, they were selected in a list, and blocked ones are left out. Otherwise
        the page is about one object.
        """
        actor, sent = Actor.of(request), request.POST.get("version")
        with transaction_for(router.db_for_write(self.model)):
            # Locked, so that what was confirmed can't change before it's done.
            plans = self._plan(objects, actor, lock=sent is not None, may_renew=not is_action)
            possible = [plan for plan in plans if not plan.blocked_by]
            blocked = [plan for plan in plans if plan.blocked_by]
            if not is_action and not plans:
                raise Http404  # deleted in the meantime
            if not is_action and blocked and not actor.may_manage(blocked[0].user):
                raise PermissionDenied(blocked[0].blocked_by)
            version = hashlib.sha256("".join(plan.version for plan in plans).encode()).hexdigest()
            rotates = any(plan.rotates for plan in (plans if not is_action else possible))
            form = _form_for(possible, request.POST if sent == version else None, is_action)
            if possible and sent == version and (form is None or form.is_valid()):
                options = form.cleaned_data if form is not None else {}
                generated = self._generate(possible, actor, options)
                if not is_action:
                    return self.secret_page(request, objects[0], generated[0], rotated=rotates)
                pairs = list(zip([plan.subject for plan in possible], generated, strict=True))
                return self.secrets_page(request, pairs, back_url, blocked)
        stale = sent is not None and not (form is not None and form.is_bound)
        more = possible[LISTED_MAX:]
        select_across = request.POST.get("select_across") == "1"
        page = self.render_page(
            request,
            "generate_keys_selected" if is_action else "generate_keys",
            _("Rotate secret") if rotates and not is_action else _("Generate Keys"),
            back_url,
            about=None if is_action else objects[0],
            version=version,
            stale=stale,
            form=form,
            rotates=rotates,
            # All blocked ones, because each has its own reason.
            plans=[*blocked, *possible[:LISTED_MAX]],
            possible=possible,
            several=model_ngettext(self.opts, len(possible)),
            more=len(more),
            more_that_stay=sum(plan.key is not None for plan in more),
            more_of_them=model_ngettext(self.opts, len(more)),
            action_checkbox_name=ACTION_CHECKBOX_NAME,
            select_across=int(select_across),
            # One is enough for all: Django accepts at most 1,000 fields in a form.
            carried=[*blocked, *possible][: 1 if select_across else None],
        )
        page.status_code = 409 if stale else 200
        return page


def _form_for(plans: Sequence[Plan], data: QueryDict | None, is_action: bool) -> Form | None:
    """Return the form to fill in before ``plans`` are carried out; None if there is none."""
    rotates = any(plan.rotates for plan in plans)
    if is_action:
        return GraceForm(data) if rotates else None
    key = plans[0].key if plans else None
    if key is None:
        return None
    return (RotationForm if rotates else RenewalForm)(data, expires_at=key.expires_at)
