"""``path("api/", include("frappe_tokens.contrib.oauth2.urls"))``: Frappe's OAuth 2 URLs.

Each works with or without a trailing slash, under the module name of older versions of Frappe, and
under ``v1/`` and ``v2/``.
"""

from __future__ import annotations

from collections.abc import Callable

from django.http import HttpResponseBase
from django.urls import include, path, re_path

from . import views, well_known

# By the toolkit's names.
_VIEWS: dict[str, tuple[str, Callable[..., HttpResponseBase]]] = {
    "authorize": ("authorize", views.Authorize.as_view()),
    "token": ("get_token", views.GetToken.as_view()),
    "revoke-token": ("revoke_token", views.RevokeToken.as_view()),
    "introspect": ("introspect_token", views.IntrospectToken.as_view()),
    "user-info": ("openid_profile", views.OpenIdProfile.as_view()),
}
_OTHER_FORMS = r"^(?:v[12]/)?method/frappe[.](?:integrations|integration_broker)[.]oauth2[.]"

_other_forms = [re_path(rf"{_OTHER_FORMS}{method}/?$", view) for method, view in _VIEWS.values()]
_canonical = [
    re_path(rf"^method/frappe\.integrations\.oauth2\.{method}/?$", view, name=name)
    for name, (method, view) in _VIEWS.items()
]

# In the toolkit's own namespace, so that it finds them if its own URLs are not included.
_namespace = ([*_other_forms, *_canonical, *well_known.urlpatterns], "oauth2_provider")
urlpatterns = [path("", include(_namespace, namespace=well_known.NAMESPACE))]
