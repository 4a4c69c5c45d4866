"""A trivial view, once open and once for each package."""

from __future__ import annotations

from knox.auth import TokenAuthentication as KnoxTokenAuthentication
from oauth2_provider.contrib.rest_framework import OAuth2Authentication
from rest_framework.authentication import SessionAuthentication
from rest_framework.authentication import TokenAuthentication as DRFTokenAuthentication
from rest_framework.permissions import AllowAny, IsAuthenticated
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_api_key.permissions import HasAPIKey
from rest_framework_simplejwt.authentication import JWTAuthentication

from frappe_tokens.authentication import TokenAuthentication


class OpenView(APIView):
    """Returns the user's name. Its cost is subtracted from that of the others."""

    authentication_classes = []
    permission_classes = [AllowAny]
    renderer_classes = [JSONRenderer]

    def get(self, request: Request) -> Response:
        return Response({"user": request.user.get_username()})


class FrappeTokensView(OpenView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]


class DRFTokenView(OpenView):
    authentication_classes = [DRFTokenAuthentication]
    permission_classes = [IsAuthenticated]


class SessionView(OpenView):
    authentication_classes = [SessionAuthentication]
    permission_classes = [IsAuthenticated]


class KnoxView(OpenView):
    authentication_classes = [KnoxTokenAuthentication]
    permission_classes = [IsAuthenticated]


class HasAPIKeyView(OpenView):
    """Has keys but no users, so that its response names none."""

    permission_classes = [HasAPIKey]


class JWTView(OpenView):
    authentication_classes = [JWTAuthentication]
    permission_classes = [IsAuthenticated]


class OAuth2View(OpenView):
    authentication_classes = [OAuth2Authentication]
    permission_classes = [IsAuthenticated]
