"""``path("api/", include("frappe_tokens.contrib.oauth2.urls"))``: Frappe's OAuth 2 URLs.

Each works with or without a trailing slash, under the module name of older versions of Frappe, and
under ``v1/`` and ``v2/``.
"""

from collections.abc import Callable

from django.http import HttpResponseBase
from django.urls import include, path, re_path

from . import introspection, profile, registration, views, well_known
from .cors import open_to_listed_origins

# With the toolkit's names. A page of another site may not ask for access itself.
_VIEWS: list[tuple[str, str, Callable[..., HttpResponseBase]]] = [
    ("authorize", "authorize", views.Authorize.as_view()),
    ("get_token", "token", open_to_listed_origins(views.GetToken.as_view())),
    ("revoke_token", "revoke-token", open_to_listed_origins(views.RevokeToken.as_view())),
    ("introspect_token", "introspect", introspection.IntrospectToken.as_view()),
    ("openid_profile", "user-info", open_to_listed_origins(profile.OpenIdProfile.as_view())),
    (
        "register_client",
        "register-client",
        open_to_listed_origins(registration.RegisterClient.as_view()),
    ),
]
_OTHER_FORMS = r"^(?:v[12]/)?method/frappe[.](?:integrations|integration_broker)[.]oauth2[.]"

_other_forms = [re_path(rf"{_OTHER_FORMS}{method}/?$", view) for method, _name, view in _VIEWS]
_canonical = [
    re_path(rf"^method/frappe\.integrations\.oauth2\.{method}/?$", view, name=name)
    for method, name, view in _VIEWS
]

# In the toolkit's namespace, so that it finds them without its own URLs.
_namespace = ([*_other_forms, *_canonical, *well_known.urlpatterns], "oauth2_provider")
urlpatterns = [path("", include(_namespace, namespace=well_known.NAMESPACE))]
