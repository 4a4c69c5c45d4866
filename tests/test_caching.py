import pytest
from django.core.cache import cache
from django.test import RequestFactory
from django.views.decorators.cache import cache_page
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BrowsableAPIRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.authentication import TokenAuthentication
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey

from .conftest import token_header
from .documentation import blocks, page

pytestmark = pytest.mark.django_db


class Who(APIView):
    authentication_classes = [TokenAuthentication]
    permission_classes = [IsAuthenticated]
    renderer_classes = [JSONRenderer]

    def get(self, request):
        return Response(request.user.get_username())


class Browsable(Who):
    renderer_classes = [JSONRenderer, BrowsableAPIRenderer]


@pytest.mark.parametrize(
    ("view", "vary"), [(Who, "Authorization"), (Browsable, "Accept, Authorization")]
)
def test_responses_vary_by_the_header(view, vary):
    assert view.as_view()(RequestFactory().get("/"))["Vary"] == vary


def ask(view, authorization):
    request = RequestFactory().get("/", headers={"authorization": authorization})
    return view(request).render()


@pytest.fixture
def headers(make_user):
    """Those of the keys of two users, while nothing is cached."""
    cache.clear()
    return {name: token_header(generate_keys(make_user(name))) for name in ("ada", "grace")}


def test_djangos_cache_keeps_the_responses_of_two_keys_apart(headers):
    view = cache_page(60)(Who.as_view())

    for name in [*headers, *headers]:
        assert ask(view, headers[name]).data == name
    assert ask(view, "").status_code == 401


def test_documented_view_checks_the_credential_before_the_cache(headers):
    (example,) = (it for it in blocks(page("reference/views"), "python") if "class Balance" in it)
    names = {"__name__": __name__}
    exec(example, names)  # noqa: S102 - the example on the page
    view = names["Balance"].as_view(
        authentication_classes=[TokenAuthentication], permission_classes=[IsAuthenticated]
    )

    for name in [*headers, *headers]:
        assert ask(view, headers[name]).data == {"user": name}
    revoke(ApiKey.objects.get(user__username="ada"))
    assert ask(view, headers["ada"]).status_code == 401
