"""Another site uses a browser's Basic login, in a real browser."""

from urllib.parse import urlsplit

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import include, path
from pytest_django.live_server_helper import LiveServer
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.authentication import BasicAuthentication
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import TIMEOUT

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]

RPC = "/api/method/frappe.core.doctype.user.user.generate_keys"


class AskForLogin(APIView):
    """Its response to a visitor without credentials opens the browser's login window."""

    authentication_classes = [BasicAuthentication]
    renderer_classes = [JSONRenderer]

    def get(self, request):
        return Response({"user": request.user.get_username()})


def plain(request):
    """A plain view that changes something, behind Django's CSRF check."""
    if request.method == "POST":
        Group.objects.create(name=request.POST["name"])
    return HttpResponse("done")


urlpatterns = [
    # At the root, because the browser sends a login to all addresses below the one that asked.
    path("ask", AskForLogin.as_view()),
    path("plain/", plain),
    path("", include("testproject.urls")),
]


SITES = [
    # The attacked host, the attacker's, and whether the user logs in by http://user:password@host/
    # and not in the login window. Another port is another origin of the same site.
    ("localhost", "localhost:1", True),
    ("localhost", "127.0.0.1", False),
    ("intranet.test", "evil.test", False),
]


@pytest.fixture
def server(settings):
    """A server with its own settings."""
    settings.ALLOWED_HOSTS = ["localhost", "intranet.test"]
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    ]
    started = LiveServer("localhost")
    yield started
    started.stop()


@pytest.fixture(params=SITES, ids=lambda sites: f"{sites[0]} by {sites[1]}")
def submit(request, chromium, server, system_manager):
    """Submit a form on a page of either site, in a browser that has logged in by Basic."""
    host, other, by_address = request.param
    made = generate_keys(system_manager)
    own = f"{host}:{urlsplit(server.url).port}"
    login = {"username": made.api_key, "password": made.api_secret}
    context = chromium.new_context(**({} if by_address else {"http_credentials": login}))
    context.set_default_timeout(TIMEOUT)
    page = context.new_page()
    prefix = f"{made.token}@" if by_address else ""
    answer = page.goto(f"http://{prefix}{own}/ask")
    assert answer is not None
    assert answer.json() == {"user": "manager"}

    def submit(target, method, *, of_other_site, **fields):
        inputs = "".join(f'<input name="{name}" value="{fields[name]}">' for name in fields)
        form = f'<form method="{method}" action="http://{own}{target}">{inputs}<button>Win</button>'
        address = f"http://{other if of_other_site else own}/page/"
        page.route(address, lambda route: route.fulfill(body=form, content_type="text/html"))
        page.goto(address)
        page.unroute(address)  # intercepted requests lack the headers that the browser adds
        with page.expect_navigation() as navigation:
            page.click("button")
        return navigation.value

    yield submit
    context.close()


def digests():
    return list(ApiKey.objects.order_by("pk").values_list("secret_digest", flat=True))


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [("post", 403, "cross_site_request"), ("get", 405, "method_not_allowed")],
)
def test_another_site_generates_no_keys(submit, keys, method, status, code):
    before = digests()

    answer = submit(RPC, method, of_other_site=True, user="ada")

    assert (answer.status, answer.json()["code"]) == (status, code)
    assert "authorization" in answer.request.all_headers()
    assert digests() == before


def test_another_site_changes_nothing_by_a_plain_view(submit):
    answer = submit("/plain/", "post", of_other_site=True, name="new")

    assert answer.status == 403
    assert "cross_site_request" in answer.text()
    assert not Group.objects.filter(name="new").exists()


def test_own_pages_still_work(submit, keys):
    before = digests()

    generated = submit(RPC, "post", of_other_site=False, user="ada").json()
    changed = submit("/plain/", "post", of_other_site=False, name="new")

    assert generated["message"]["api_key"] == keys.api_key
    assert digests() != before
    assert changed.status == 200
    assert Group.objects.filter(name="new").exists()
