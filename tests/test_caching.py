import re
from pathlib import Path

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

from .conftest import token_header

pytestmark = pytest.mark.django_db

PAGE = (Path(__file__).parent.parent / "docs/views.md").read_text()


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
def test_answers_vary_by_the_header(view, vary):
    assert view.as_view()(RequestFactory().get("/"))["Vary"] == vary


def test_djangos_cache_keeps_the_answers_of_two_keys_apart(make_user):
    cache.clear()
    cached = cache_page(60)(Who.as_view())

    def ask(authorization):
        request = RequestFactory().get("/", headers={"authorization": authorization})
        response = cached(request)
        return response.render()

    ada, grace = (generate_keys(make_user(name)) for name in ("ada", "grace"))
    for _ in range(2):
        assert ask(token_header(ada)).content == b'"ada"'
        assert ask(token_header(grace)).content == b'"grace"'
    assert ask("").status_code == 401


def test_documented_view_checks_the_credential_before_the_cache(make_user):
    cache.clear()
    (example,) = re.findall(r"```python\n([^`]*class Balance.*?)```", PAGE, re.DOTALL)
    names = {"__name__": __name__}
    exec(example, names)  # noqa: S102 - the example on the page
    view = names["Balance"].as_view(
        authentication_classes=[TokenAuthentication], permission_classes=[IsAuthenticated]
    )
    ada, grace = (generate_keys(make_user(name)) for name in ("ada", "grace"))

    def ask(keys):
        request = RequestFactory().get("/", headers={"authorization": token_header(keys)})
        return view(request).render()

    for _ in range(2):
        assert ask(ada).content == b'{"user":"ada"}'
        assert ask(grace).content == b'{"user":"grace"}'
    revoke(ada.instance)
    assert ask(ada).status_code == 401
