"""``{% load frappe_tokens %}``: tags and filters for the templates of the users' own pages."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from django import template
from django.contrib.sites.requests import RequestSite
from django.contrib.sites.shortcuts import get_current_site
from django.core.exceptions import ObjectDoesNotExist
from django.template import RequestContext
from django.urls import get_script_prefix
from django.utils import timezone
from django.utils.safestring import SafeString

from .. import ui

register = template.Library()


class Site(NamedTuple):
    """What the header of a page shows; ``username`` is "" if no one is signed in."""

    name: str
    home_url: str
    username: str


@register.simple_tag(takes_context=True)
def current_site(context: RequestContext) -> Site:
    """Return the request's site. Its name is that of django.contrib.sites, else the host."""
    request = context.request
    user: Any = getattr(request, "user", None)
    username = user.get_username() if user is not None and user.is_authenticated else ""
    try:
        site: Any = get_current_site(request)
    except ObjectDoesNotExist:
        # The page must not fail for this: it may show a secret, which is shown only once.
        site = RequestSite(request)
    return Site(site.name, get_script_prefix(), username)


@register.filter
def relative_time(at: datetime) -> SafeString:
    """Return when ``at`` is as HTML, with the exact time on hover."""
    return ui.relative_time(at, timezone.now())
