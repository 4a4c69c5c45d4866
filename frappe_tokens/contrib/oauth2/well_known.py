"""The ``.well-known`` documents, by which clients find the addresses.

They are looked for at the root of a site::

    path("", include("frappe_tokens.contrib.oauth2.well_known")),
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from django.http import Http404, HttpRequest, HttpResponse, HttpResponseBase, JsonResponse
from django.urls import NoReverseMatch, re_path, reverse
from django.utils.decorators import method_decorator
from oauth2_provider import views as toolkit
from oauth2_provider.compat import login_not_required
from oauth2_provider.settings import oauth2_settings

from frappe_tokens.keys import outside_atomic_requests

from .profile import issuer

NAMESPACE = "frappe_tokens_oauth2"

app_name = "frappe_tokens_well_known"

# What can be had at these addresses.
_GRANT_TYPES = {"authorization_code", "client_credentials", "password", "refresh_token"}


if TYPE_CHECKING:
    from oauth2_provider.views import OAuthServerMetadataView as _Base
else:
    _Base = object


class DocumentMixin(_Base):
    """The toolkit's document about the addresses here."""

    def _get_endpoint_url(
        self, request: HttpRequest, view_name: str, required: bool = False
    ) -> str | None:
        try:
            return request.build_absolute_uri(reverse(f"{NAMESPACE}:{view_name}"))
        except NoReverseMatch:
            # It may be among the toolkit's own addresses.
            theirs: str | None = super()._get_endpoint_url(request, view_name, required)
            return theirs

    def get(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        answer: HttpResponse = super().get(request, *args, **kwargs)
        changed = JsonResponse(self.document(json.loads(answer.content), request))
        changed["Access-Control-Allow-Origin"] = answer["Access-Control-Allow-Origin"]
        return changed

    def document(self, document: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
        """What the toolkit says, made to be about what is here."""
        document["issuer"] = issuer(request)
        document["response_types_supported"] = [
            named
            for named in document["response_types_supported"]
            if "token" not in named.split() and "code" in named.split()
        ]
        document["response_modes_supported"] = ["query"]
        document["token_endpoint_auth_methods_supported"].append("none")  # public clients
        document["userinfo_endpoint"] = self._get_endpoint_url(request, "user-info")
        document["revocation_endpoint"] = self._get_endpoint_url(request, "revoke-token")
        document["introspection_endpoint"] = self._get_endpoint_url(request, "introspect")
        return document


class ServerMetadata(DocumentMixin, toolkit.OAuthServerMetadataView):
    """``oauth-authorization-server`` (RFC 8414)."""

    def document(self, document: dict[str, Any], request: HttpRequest) -> dict[str, Any]:
        document["grant_types_supported"] = [
            named for named in document["grant_types_supported"] if named in _GRANT_TYPES
        ]
        return super().document(document, request)


@method_decorator(login_not_required, name="dispatch")
class OpenIdConfiguration(DocumentMixin, toolkit.ConnectDiscoveryInfoView):
    """``openid-configuration`` (OpenID Connect Discovery 1.0), where that is switched on."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        if not oauth2_settings.OIDC_ENABLED:
            raise Http404("OpenID Connect is not switched on: OAUTH2_PROVIDER['OIDC_ENABLED'].")
        answer: HttpResponseBase = super().dispatch(request, *args, **kwargs)
        return answer


class ResourceMetadata(toolkit.OAuthProtectedResourceMetadataView):
    """``oauth-protected-resource`` (RFC 9728)."""

    def get_resource(self, request: HttpRequest) -> str:
        return oauth2_settings.OAUTH2_PROTECTED_RESOURCE_IDENTIFIER or issuer(request)

    def get_authorization_servers(self, request: HttpRequest) -> list[str]:
        named = oauth2_settings.OAUTH2_PROTECTED_RESOURCE_AUTHORIZATION_SERVERS
        return list(named) or [issuer(request)]


def _asking_nothing(view: Any) -> Any:
    """The document of a class, which is there without the database, with ATOMIC_REQUESTS too."""
    return outside_atomic_requests(view.as_view())


urlpatterns = [
    # Without the toolkit's name for it: it would take the issuer from where this is included.
    re_path(r"^\.well-known/oauth-authorization-server/?$", _asking_nothing(ServerMetadata)),
    re_path(
        r"^\.well-known/oauth-protected-resource/?$",
        _asking_nothing(ResourceMetadata),
        name="oauth-resource-metadata",
    ),
    re_path(
        r"^\.well-known/openid-configuration/?$",
        _asking_nothing(OpenIdConfiguration),
        name="oidc-connect-discovery-info",
    ),
    re_path(r"^\.well-known/jwks\.json$", _asking_nothing(toolkit.JwksInfoView), name="jwks-info"),
]
