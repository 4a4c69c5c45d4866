"""The pages that generate keys: first a confirmation, then the secrets, shown once.

A secret is only in the response to the POST that generated it: not in a message, session, cookie or
history entry, nor behind any URL.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import model_ngettext, quote, unquote
from django.core.exceptions import PermissionDenied
from django.db import router
from django.db.models import Model, QuerySet
from django.forms import Media
from django.http import Http404, HttpRequest, HttpResponse
from django.template.loader import render_to_string
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ..base_models import AbstractApiKey
from ..conf import conf
from ..form_fields import RenewalForm
from ..keys import BEYOND_RIGHTS, Actor, GeneratedKeys, Plan, clean_expiry, transaction_for
from ..verification import DEFAULT_SOURCE
from .bases import MEDIA, ModelAdmin
from .csv_file import csv_link

# A confirmation lists at most so many keys to generate, because no one reads ten thousand lines.
LISTED_MAX = 300

KEY_FIELDS = ("api_access_key", "api_access_state", "api_access_last_used")
GENERATE, REFUSED = "api_access_generate", "api_access_refused"
REQUESTS = "api_access_requests"


def part(name: str, label: Any, page: str = "") -> Callable[[Any, Model], str]:
    """Return a field of the section, which a template shows, with the URL of a ``page`` if any."""

    @admin.display(description=label)
    def render(model_admin: ApiAccessBase, obj: Model) -> str:
        context = {**model_admin.api_access(obj), "url": page and model_admin._url_of(page, obj)}
        return render_to_string(f"frappe_tokens/admin/api_access_{name}.html", context)

    return render


class ExpiryForm(RenewalForm):
    """When the key expires, as the core accepts it."""

    def clean_expires_at(self) -> datetime | None:
        expires_at: datetime | None = self.cleaned_data["expires_at"]
        return None if expires_at is None else clean_expiry(expires_at)


class ApiAccessBase(ModelAdmin):
    """A ModelAdmin of users or of keys, with *API Access* and the action *Generate Keys*."""

    own_actions: ClassVar[tuple[str, ...]] = ("generate_keys",)

    api_access_key = part("key", _("API Key"))
    api_access_state = part("state", _("State"))
    api_access_last_used = part("last_used", _("Last used"))
    api_access_generate = part("generate", _("API Secret"), "generate_keys")

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        # Subclasses usually replace ``actions`` of the class. None: the project wants no actions.
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

        That is the ``key``, and the ``latest`` one, which may be revoked.
        """

    @abstractmethod
    def _plan(
        self, objects: Sequence[Any], actor: Actor, *, lock: bool, may_renew: bool
    ) -> list[Plan]:
        """Return a plan for each of ``objects``; with ``lock``, for those that remain, locked."""

    @abstractmethod
    def _generate(
        self, plans: Sequence[Plan], actor: Actor, expires_at: datetime | None
    ) -> list[GeneratedKeys]:
        """Generate for all of ``plans``, or for none of them if one fails."""

    @admin.display(description=_("API Secret"))
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

    def _path_of(self, name: str, view: Callable[..., HttpResponse]) -> URLPattern:
        """Return the URL pattern of a page about one object."""
        route = f"<path:object_id>/{name.replace('_', '-')}/"
        return path(route, self.admin_site.admin_view(view), name=self._url_name_of(name))

    def _url_of(self, name: str, obj: Model) -> str:
        url_name = f"{self.admin_site.name}:{self._url_name_of(name)}"
        return reverse(url_name, args=(quote(obj.pk),))

    def _url_name_of(self, name: str) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_{name}"

    def render_page(
        self, request: HttpRequest, name: str, title: object, back_url: str, **context: object
    ) -> TemplateResponse:
        """Return a page that extends ``frappe_tokens/admin/page.html``."""
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), **context}
        context |= {"title": title, "opts": self.opts, "media": self.media, "back_url": back_url}
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
        with transaction_for(router.db_for_write(self.model)):
            # Under the locks: what was confirmed can't change before it's done.
            plans = self._plan(objects, actor, lock=sent is not None, may_renew=not is_action)
            possible = [plan for plan in plans if not plan.blocked_by]
            blocked = [plan for plan in plans if plan.blocked_by]
            if not is_action and not plans:
                raise Http404  # deleted in the meantime
            if not is_action and blocked and not actor.may_manage(blocked[0].user):
                raise PermissionDenied(blocked[0].blocked_by)
            version = hashlib.sha256("".join(plan.version for plan in plans).encode()).hexdigest()
            key = possible[0].key if possible and not is_action else None
            form = None
            if key is not None:
                data = request.POST if sent == version else None
                form = ExpiryForm(data, expires_at=key.expires_at)
            if possible and sent == version and (form is None or form.is_valid()):
                expires_at = form.cleaned_data["expires_at"] if form is not None else None
                generated = self._generate(possible, actor, expires_at)
                pairs = list(zip([plan.subject for plan in possible], generated, strict=True))
                return self.secrets_page(request, pairs, back_url, blocked if is_action else None)
        stale = sent is not None and not (form is not None and form.is_bound)
        more = possible[LISTED_MAX:]
        select_across = request.POST.get("select_across") == "1"
        page = self.render_page(
            request,
            "generate_keys_selected" if is_action else "generate_keys",
            _("Generate Keys"),
            back_url,
            version=version,
            stale=stale,
            form=form,
            grace=conf.ROTATION_GRACE,
            grace_ends=timezone.now() + conf.ROTATION_GRACE,
            # All that are blocked: each has its own reason.
            plans=[*blocked, *possible[:LISTED_MAX]],
            possible=possible,
            several=model_ngettext(self.opts, len(possible)),
            more=len(more),
            more_that_stay=sum(plan.key is not None for plan in more),
            more_of_them=model_ngettext(self.opts, len(more)),
            action_checkbox_name=ACTION_CHECKBOX_NAME,
            select_across=int(select_across),
            # One stands for all: Django accepts at most 1,000 fields in a form.
            carried=[*blocked, *possible][: 1 if select_across else None],
        )
        page.status_code = 409 if stale else 200
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
        label = generated[0][1].instance._meta.label_lower
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
            csv_link=csv_link(generated),
            left_out=left_out,
        )
