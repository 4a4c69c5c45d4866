"""The ``.well-known`` documents, in which clients find the URLs.

Include them at the root of a site::

    path("", include("frappe_tokens.contrib.oauth2.well_known")),
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import urljoin

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import NoReverseMatch, get_script_prefix, re_path, reverse
from django.utils.decorators import method_decorator
from django.utils.encoding import escape_uri_path
from django.views import View
from oauth2_provider import views as toolkit
from oauth2_provider.compat import login_not_required
from oauth2_provider.settings import oauth2_settings
from oauth2_provider.views.metadata import ServerMetadataViewMixin

from frappe_tokens.conf import conf
from frappe_tokens.keys import outside_atomic_requests

from .cors import open_to_all_origins

NAMESPACE = "frappe_tokens_oauth2"

app_name = "frappe_tokens_well_known"

_GRANT_TYPES = {"authorization_code", "client_credentials", "password", "refresh_token"}


def issuer(request: HttpRequest) -> str:
    """Return the issuer's identifier: ``OIDC_ISS_ENDPOINT``, else the site, as in Frappe.

    With the prefix of the site, if any: another program may answer at the root of the host.
    """
    site = request.build_absolute_uri(get_script_prefix()).rstrip("/")
    return oauth2_settings.OIDC_ISS_ENDPOINT or site


def metadata_url(request: HttpRequest, is_resource: bool) -> str:
    """Return where the metadata of the requested resource is (RFC 9728, 3.1); "" if nowhere.

    The resource is the whole site, or the path of the request if ``is_resource`` is True.
    """
    try:
        root = reverse(f"{app_name}:oauth-resource-metadata")
        return request.build_absolute_uri(
            root + (escape_uri_path(request.path) if is_resource else "")
        )
    except (NoReverseMatch, DisallowedHost):
        return ""


class DocumentMixin(ServerMetadataViewMixin, View):
    """Changes the toolkit's document to describe our URLs."""

    extra: Mapping[str, object] = {}

    def _get_endpoint_url(
        self, request: HttpRequest, view_name: str, required: bool = False
    ) -> str | None:
        try:
            return request.build_absolute_uri(reverse(f"{NAMESPACE}:{view_name}"))
        except NoReverseMatch:
            # It may be one of the toolkit's own URLs.
            url: str | None = super()._get_endpoint_url(request, view_name, required)
            return url

    def get(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response: HttpResponse = super().get(request, *args, **kwargs)
        document = json.loads(response.content)
        document |= {
            "issuer": issuer(request),
            "response_types_supported": [
                response_type
                for response_type in document["response_types_supported"]
                if "token" not in response_type.split() and "code" in response_type.split()
            ],
            "response_modes_supported": ["query"],
            "token_endpoint_auth_methods_supported": list(
                # The last one is for public clients.
                dict.fromkeys([*document["token_endpoint_auth_methods_supported"], "none"])
            ),
            "userinfo_endpoint": self._get_endpoint_url(request, "user-info"),
            "revocation_endpoint": self._get_endpoint_url(request, "revoke-token"),
            "introspection_endpoint": self._get_endpoint_url(request, "introspect"),
            # Authorize adds the parameter, whatever the toolkit's setting says.
            "authorization_response_iss_parameter_supported": True,
            **self.extra,
        }
        if conf.OAUTH_DYNAMIC_REGISTRATION:
            document["registration_endpoint"] = self._get_endpoint_url(request, "register-client")
        if "grant_types_supported" in document:
            document["grant_types_supported"] = [
                name for name in document["grant_types_supported"] if name in _GRANT_TYPES
            ]
        response.content = json.dumps(document)
        return response


class ServerMetadata(DocumentMixin, toolkit.OAuthServerMetadataView):
    """``oauth-authorization-server`` (RFC 8414)."""


# What OpenID Connect Discovery requires besides.
_WITHOUT_ID_TOKENS = {
    "subject_types_supported": ["public"],
    "id_token_signing_alg_values_supported": [],
}


@method_decorator(login_not_required, name="dispatch")
class OpenIdConfiguration(DocumentMixin, toolkit.ConnectDiscoveryInfoView):
    """``openid-configuration`` (OpenID Connect Discovery 1.0).

    As in Frappe, it's also there without OpenID Connect, for clients that only look for URLs.
    """

    def dispatch(self, request: HttpRequest, *args: object, **kwargs: object) -> HttpResponseBase:
        if oauth2_settings.OIDC_ENABLED:
            return super().dispatch(request, *args, **kwargs)
        return ServerMetadata.as_view(extra=_WITHOUT_ID_TOKENS)(request, *args, **kwargs)


class ResourceMetadata(toolkit.OAuthProtectedResourceMetadataView):
    """``oauth-protected-resource`` (RFC 9728), of the site or of the path after it."""

    def get_resource(self, request: HttpRequest) -> str:
        own: str = oauth2_settings.OAUTH2_PROTECTED_RESOURCE_IDENTIFIER
        # Two slashes would name another host.
        path = "/" + escape_uri_path(self.kwargs.get("path") or "").lstrip("/")
        if path == "/":
            return own or issuer(request)
        return urljoin(own, path) if own else request.build_absolute_uri(path)

    def get_scopes_supported(self) -> list[str]:
        # Clients that know no better ask for all of them, so not for everything.
        return [scope for scope in super().get_scopes_supported() if scope != conf.ALL_SCOPE]

    def get_authorization_servers(self, request: HttpRequest) -> list[str]:
        servers = oauth2_settings.OAUTH2_PROTECTED_RESOURCE_AUTHORIZATION_SERVERS
        return list(servers) or [issuer(request)]


_DOCUMENTS = [
    # Without the toolkit's name, by which it would derive the issuer from this URL. There is one
    # issuer, so the path of a resource, which clients may add, changes nothing (RFC 8414, 3.1).
    (r"oauth-authorization-server(?:/.*)?", ServerMetadata, None),
    (r"oauth-protected-resource(?:/(?P<path>.*))?", ResourceMetadata, "oauth-resource-metadata"),
    (r"openid-configuration(?:/.*)?", OpenIdConfiguration, "oidc-connect-discovery-info"),
    (r"jwks\.json", toolkit.JwksInfoView, "jwks-info"),
]
# Without a transaction: they don't need the database.
urlpatterns = [
    re_path(
        rf"^\.well-known/{path}$",
        open_to_all_origins(outside_atomic_requests(view.as_view())),
        name=name,
    )
    for path, view, name in _DOCUMENTS
]
