"""Exception handlers of a project get a refusal as DRF's exception."""

import pytest
from django.test import Client
from django.urls import path
from drf_standardized_errors.handler import exception_handler
from rest_framework.authentication import SessionAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.authentication import BearerAuthentication, TokenAuthentication
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import change_key

from .conftest import bearer_header

pytestmark = [pytest.mark.django_db, pytest.mark.urls(__name__)]

raised = []


class Who(APIView):
    permission_classes = [IsAuthenticated]
    authentication_classes = [TokenAuthentication, BearerAuthentication]

    def get(self, request):
        return Response({"user": request.user.get_username()})

    def handle_exception(self, exc):
        raised.append(exc)
        return super().handle_exception(exc)


class WhoStandardized(Who):
    def get_exception_handler(self):
        return exception_handler


class SessionFirst(WhoStandardized):
    # DRF answers 403 if the view's first class has no challenge.
    authentication_classes = [SessionAuthentication, TokenAuthentication, BearerAuthentication]


urlpatterns = [
    path("drf/", Who.as_view()),
    path("standardized/", WhoStandardized.as_view()),
    path("session-first/", SessionFirst.as_view()),
]
PATHS = ["/drf/", "/standardized/", "/session-first/"]


def ask(url, header):
    raised.clear()
    return Client().get(url, headers={"authorization": header})


@pytest.mark.parametrize("url", PATHS)
def test_401_is_authentication_failed_with_the_challenge_of_its_scheme(url):
    for header, code, challenge in [
        ("token nonsense", "malformed_credentials", 'token realm="api"'),
        ("Bearer ftk_1:wrong", "invalid_credentials", 'Bearer realm="api", error="invalid_token"'),
    ]:
        response = ask(url, header)
        assert isinstance(raised[0], AuthenticationFailed)
        assert response.status_code == 401
        assert response.headers["WWW-Authenticate"] == challenge
        assert code in response.content.decode()


def test_standardized_errors_have_code_and_sentence():
    body = ask("/standardized/", "token ftk_1:wrong").json()

    assert body["type"] == "client_error"
    assert {error["code"] for error in body["errors"]} == {"invalid_credentials"}
    sentence = str(Reason.INVALID_CREDENTIALS.sentence)
    assert sentence in [error["detail"] for error in body["errors"]]


@pytest.mark.parametrize("url", PATHS)
def test_403_is_not_authentication_failed(url, keys):
    change_key(keys.instance, scopes=["todos:read"])

    response = ask(url, bearer_header(keys))

    assert not isinstance(raised[0], AuthenticationFailed)
    assert response.status_code == 403
    assert "insufficient_scope" in response.headers["WWW-Authenticate"]
    change_key(keys.instance, scopes=[])
    assert ask(url, bearer_header(keys)).status_code == 200
