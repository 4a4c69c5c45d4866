from __future__ import annotations

from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from django.contrib.auth.models import AnonymousUser
from knox.models import AuthToken as KnoxToken
from rest_framework.authentication import BaseAuthentication
from rest_framework.decorators import action, api_view, permission_classes
from rest_framework.response import Response
from rest_framework.test import APIRequestFactory
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet
from rest_framework_simplejwt.tokens import AccessToken as Jwt

from frappe_tokens.decorators import require_scopes
from frappe_tokens.models import ApiKey
from frappe_tokens.permissions import CanGenerateKeys, HasScope

pytestmark = pytest.mark.django_db


def opens_to(user, auth=None):
    request = SimpleNamespace(user=user, auth=auth, META={})
    return CanGenerateKeys().has_permission(request, APIView())


def test_can_generate_keys_opens_to_system_managers_and_superusers(system_manager, make_user):
    assert opens_to(system_manager)
    assert opens_to(make_user("root", is_superuser=True))
    assert opens_to(system_manager, ApiKey(user=system_manager))


def test_can_generate_keys_is_closed_to_others(user, system_manager, make_user):
    assert not opens_to(user)
    assert not opens_to(AnonymousUser())
    assert not opens_to(make_user("staff", is_staff=True))
    assert not opens_to(make_user("gone", is_superuser=True, is_active=False))
    assert not opens_to(SimpleNamespace(is_active=False, has_perm=lambda name: True))
    assert not opens_to(system_manager, ApiKey(user=system_manager, read_only=True))
    assert not opens_to(system_manager, ApiKey(user=system_manager, scopes=["todo"]))
    assert not opens_to(system_manager, "a token of another package")


# HasScope


class AccessToken(NamedTuple):
    """What is read of one of django-oauth-toolkit's."""

    scope: Any


class Tree(AccessToken):
    """Its model decides what it allows: all below its scope."""

    def allow_scopes(self, scopes):
        return all(scope.startswith(f"{self.scope}:") for scope in scopes)


class Presented(BaseAuthentication):
    """In place of another package's class."""

    credential = None
    user = None

    def authenticate(self, request):
        return self.user, self.credential

    def authenticate_header(self, request):
        return "Bearer"


class Todos(ViewSet):
    permission_classes = [HasScope]
    required_scopes = {"list": ["todos:read"], "create": "todos:read todos:write"}

    def destroy(self, request):
        return Response()

    list = create = destroy

    @action(detail=False, required_scopes=["todos:done"])
    def done(self, request):
        return Response()


class Undeclared(APIView):
    permission_classes = [HasScope]

    def get(self, request):
        return Response()


@require_scopes("todos:read")
@api_view(["GET", "POST"])
@permission_classes([HasScope])
def function(request):
    return Response()


COLLECTION = {"get": "list", "post": "create", "delete": "destroy"}


def answer(credential, view=None, method="GET", user=None):
    """The response to a request that another package's class authenticated."""
    view = view or Todos.as_view(COLLECTION)
    attributes = {"credential": credential, "user": user}
    view.cls.authentication_classes = [type("Presented", (Presented,), attributes)]
    return view(APIRequestFactory().generic(method, "/"))


def opens(*arguments, **options):
    status = answer(*arguments, **options).status_code
    assert status in {200, 403, 405}
    return bool(status == 200)


@pytest.mark.parametrize("token", [AccessToken("todos:read users"), Tree("todos")])
def test_access_token_opens_views_whose_scopes_it_holds(token):
    holds_all = isinstance(token, Tree)

    assert opens(token)
    assert opens(token, method="HEAD")
    assert opens(token, method="POST") is holds_all
    assert opens(token, function, "POST")
    assert opens(token, Todos.as_view({"get": "done"}, **Todos.done.kwargs)) is holds_all
    # Nothing that declares no scopes
    assert not opens(token, Undeclared.as_view())
    assert not opens(token, method="DELETE")
    assert not opens(token, method="OPTIONS")


def test_access_token_without_the_scope_is_refused():
    for scope in ("", "todos", "todos:read2", "Todos:Read", None, ["todos:read"]):
        response = answer(AccessToken(scope))
        assert (response.status_code, response.data["code"]) == (403, "insufficient_scope")
        assert "don't open this view" in response.data["detail"]


def test_api_key_opens_the_same_views_as_without_the_permission(user):
    plain = ApiKey(user=user)
    reader = ApiKey(user=user, scopes=["todos:read"])
    for method in ("GET", "HEAD", "POST", "DELETE", "OPTIONS"):
        assert opens(plain, method=method)
        assert opens(reader, method=method) is (method in {"GET", "HEAD"})
    assert opens(plain, Undeclared.as_view())
    assert not opens(reader, Undeclared.as_view())


def test_session_is_not_restricted_and_anonymous_requests_are_refused(user):
    for view in (Todos.as_view(COLLECTION), Undeclared.as_view()):
        assert opens(None, view, user=user)
        assert not opens(None, view, user=AnonymousUser())
        assert not opens(None, view)


def test_unknown_kind_of_credential_opens_nothing(user):
    for credential in ("todos:read", {"scope": "todos:read"}, "", False, Jwt(), KnoxToken()):
        assert not opens(credential, user=user)
        assert not opens(credential, Undeclared.as_view(), user=user)


def test_subclass_may_read_the_scopes_of_another_credential(user):
    class HasClaim(HasScope):
        def holds(self, credential, required):
            if isinstance(credential, Jwt):
                return bool(required) and set(required) <= set(credential["scope"].split())
            return super().holds(credential, required)

    class Report(Undeclared):
        permission_classes = [HasClaim]
        required_scopes = ["todos:read"]

    token = Jwt()
    token["scope"] = "todos:read"
    assert opens(token, Report.as_view(), user=user)
    token["scope"] = "users"
    assert not opens(token, Report.as_view(), user=user)
    assert opens(AccessToken("todos:read"), Report.as_view())
