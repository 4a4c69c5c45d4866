"""What browsers report about the page that made them send a request. Pages can't forge this.

Sources: https://www.w3.org/TR/fetch-metadata/ (``Sec-Fetch-Site``, sent to HTTPS and to this
machine only), https://fetch.spec.whatwg.org/#origin-header (``Origin``, sent with every method but
GET and HEAD, and with every WebSocket).
"""

from __future__ import annotations

from urllib.parse import urlsplit

from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.utils.http import is_same_domain

from ..types import AnyRequest


def from_another_site(request: AnyRequest) -> bool:
    """Whether a page of another site made a browser send ``request``.

    That is any origin other than this one and ``CSRF_TRUSTED_ORIGINS``. A request with neither
    header doesn't come from a browser, unless it's a GET or HEAD over plain HTTP.
    """
    site, origin = request.META.get("HTTP_SEC_FETCH_SITE"), request.META.get("HTTP_ORIGIN")
    if site == "same-origin" or (origin is None and site in (None, "none")):
        return False
    if origin is not None and _is_trusted(origin):
        return False
    # "none" means that the user typed the address, but a reload may repeat another site's form.
    return site not in (None, "none") or origin != _own_origin(request)


def may_be_browser(request: AnyRequest) -> bool:
    """Whether ``request`` may come from a browser, but not from a page of this site.

    When following a link over plain HTTP, a browser sends only its ``User-Agent``, which starts
    with "Mozilla/" in all of them.
    """
    meta = request.META
    if "HTTP_SEC_FETCH_SITE" in meta:
        return bool(meta["HTTP_SEC_FETCH_SITE"] != "same-origin")
    return "HTTP_ORIGIN" in meta or meta.get("HTTP_USER_AGENT", "").startswith("Mozilla/")


def _own_origin(request: AnyRequest) -> str:
    """Return the origin of this site's pages as CsrfViewMiddleware does; "" if unknown."""
    # A WebSocket has the scheme ws or wss, unlike the origin of its page.
    scheme = str(request.scheme).replace("ws", "http")
    try:
        return f"{scheme}://{request.get_host()}"
    except DisallowedHost:
        return ""


def _is_trusted(origin: str) -> bool:
    """Whether ``origin`` is among ``CSRF_TRUSTED_ORIGINS``, as CsrfViewMiddleware reads them."""
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    try:
        sent = urlsplit(origin)
    except ValueError:
        return False
    return any(
        sent.scheme == trusted.scheme and is_same_domain(sent.netloc, trusted.netloc.lstrip("*"))
        for trusted in map(urlsplit, settings.CSRF_TRUSTED_ORIGINS)
        if trusted.netloc.startswith("*")
    )
