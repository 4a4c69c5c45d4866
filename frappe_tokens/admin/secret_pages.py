"""What our pages in the admin share, and the one that shows secrets, once."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import django
from django.contrib.admin.utils import model_ngettext, quote
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _
from django.views.decorators.debug import sensitive_variables

from ..conf import conf
from ..keys import GeneratedKeys, Plan
from ..ui import trial_of
from ..verification import DEFAULT_SOURCE
from .bases import ModelAdmin
from .csv_file import csv_file

# Since then, the breadcrumbs of the admin are a list.
BREADCRUMBS_ARE_A_LIST = django.VERSION >= (6, 1)


class PagesMixin(ModelAdmin):
    """The URLs and the frame of our pages."""

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
        self,
        request: HttpRequest,
        name: str,
        title: object,
        back_url: str,
        about: object = None,
        **context: object,
    ) -> TemplateResponse:
        """Return a page that extends ``frappe_tokens/admin/page.html``.

        ``back_url`` is the page of the object that this page is ``about``, or the list if it is
        about several.
        """
        request.current_app = self.admin_site.name
        context = {**self.admin_site.each_context(request), **context}
        context |= {"title": title, "opts": self.opts, "media": self.media, "back_url": back_url}
        context |= {"about": about, "breadcrumbs_are_a_list": BREADCRUMBS_ARE_A_LIST}
        context["may_list"] = self.has_view_or_change_permission(request)
        return TemplateResponse(request, f"frappe_tokens/admin/{name}.html", context)

    @sensitive_variables()
    def secret_page(
        self,
        request: HttpRequest,
        subject: Model,
        keys: GeneratedKeys,
        *,
        rotated: bool = False,
    ) -> HttpResponse:
        """Show the secret of one key. ``subject`` is the key itself or its user."""
        source = _source_header(keys)
        return self.render_page(
            request,
            "generated_key",
            _("Secret rotated") if rotated else _("Keys generated"),
            self._url_of("change", subject),
            about=subject,
            keys=keys,
            rotated=rotated,
            source=source,
            trial=trial_of(request, keys, source),
        )

    @sensitive_variables()
    def secrets_page(
        self,
        request: HttpRequest,
        generated: Sequence[tuple[object, GeneratedKeys]],
        back_url: str,
        left_out: Sequence[Plan],
    ) -> HttpResponse:
        """Show the secrets of ``generated``: each item has the object that the keys are for.

        ``left_out`` are the plans that were blocked.
        """
        return self.render_page(
            request,
            "generated_keys",
            _("Keys generated"),
            back_url,
            generated=generated,
            several=model_ngettext(self.opts, len(generated)),
            source=_source_header(generated[0][1]),
            csv_file=csv_file(generated),
            left_out=left_out,
        )


def _source_header(keys: GeneratedKeys) -> str:
    """Return the header that says where to look up the key; "" if none is needed."""
    label = keys.instance._meta.label_lower
    names = [name for name, model in conf.SOURCES.items() if model.lower() == label]
    needs_none = not names or DEFAULT_SOURCE in names
    return "" if needs_none else f"Frappe-Authorization-Source: {names[0]}"
