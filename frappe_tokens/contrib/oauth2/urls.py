"""``path("api/", include("frappe_tokens.contrib.oauth2.urls"))``: Frappe's addresses of OAuth 2.

Each is there with or without a trailing slash, under the name of the module that it had in older
versions of Frappe, and under ``v1/`` and ``v2/``.
"""

from __future__ import annotations

from typing import Any

from django.urls import URLPattern, include, path, re_path

from . import views, well_known

# By what the toolkit calls them.
ENDPOINTS: dict[str, tuple[str, Any]] = {
    "authorize": ("authorize", views.Authorize.as_view()),
    "token": ("get_token", views.GetToken.as_view()),
    "revoke-token": ("revoke_token", views.RevokeToken.as_view()),
    "introspect": ("introspect_token", views.IntrospectToken.as_view()),
    "user-info": ("openid_profile", views.OpenIdProfile.as_view()),
}


def _patterns(name: str, method: str, view: Any) -> list[URLPattern]:
    return [
        re_path(
            rf"^(?:v[12]/)?method/frappe[.](?:integrations|integration_broker)[.]oauth2[.]{method}/?$",
            view,
        ),
        # Last, so that it is the one that goes by the name.
        re_path(rf"^method/frappe\.integrations\.oauth2\.{method}/?$", view, name=name),
    ]


_endpoints = [
    pattern
    for name, (method, view) in ENDPOINTS.items()
    for pattern in _patterns(name, method, view)
]

# In the toolkit's own namespace, so that it finds them where its own addresses are not included.
urlpatterns = [
    path(
        "",
        include(
            ([*_endpoints, *well_known.urlpatterns], "oauth2_provider"),
            namespace=well_known.NAMESPACE,
        ),
    ),
]
