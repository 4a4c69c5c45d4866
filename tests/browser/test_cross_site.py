"""Another site acts by a browser's Basic login, in a real browser."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

import pytest
from django.contrib.auth.models import Group
from django.http import HttpResponse
from django.urls import include, path
from django.utils.html import format_html, format_html_join
from django.views.decorators.csrf import csrf_exempt
from pytest_django.live_server_helper import LiveServer
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.authentication import BasicAuthentication
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

pytestmark = [
    pytest.mark.browser,
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls(__name__),
]

RPC = "/api/method/frappe.core.doctype.user.user.generate_keys"


class AskForLogin(APIView):
    """Its answer to a visitor without credentials opens the browser's login window."""

    authentication_classes = [BasicAuthentication]
    renderer_classes = [JSONRenderer]

    def get(self, request):
        return Response({"user": request.user.get_username()})


def plain(request):
    """A plain view that changes something, with Django's CSRF check around it."""
    if request.method == "POST":
        Group.objects.create(name=request.POST["name"])
    return HttpResponse("done")


def page_with(target, method, **fields):
    """A page whose button sends a form to ``target``."""
    inputs = format_html_join("", '<input name="{}" value="{}">', fields.items())
    return format_html(
        "<!DOCTYPE html><title>A page</title>"
        '<form method="{}" action="{}">{}<button>Win</button></form>',
        method,
        target,
        inputs,
    )


@csrf_exempt
def own_page(request):
    fields = request.GET.dict()
    return HttpResponse(page_with(fields.pop("target"), fields.pop("method"), **fields))


urlpatterns = [
    # At the root, as the browser sends a login to all that is below the place that asked for it.
    path("ask", AskForLogin.as_view()),
    path("plain/", plain),
    path("own-page/", own_page),
    path("", include("testproject.urls")),
]


class OtherSite(BaseHTTPRequestHandler):
    """Serves :func:`page_with` with the fields in the query, from another port."""

    def do_GET(self):
        fields = dict(parse_qsl(urlsplit(self.path).query))
        body = page_with(fields.pop("target", ""), fields.pop("method", ""), **fields).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def other_port():
    server = ThreadingHTTPServer(("127.0.0.1", 0), OtherSite)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


class Sites(NamedTuple):
    """Who attacks whom.

    Attributes:
        own: the host of the site that is attacked.
        other: the host of the attacker.
        by_address: the user logs in by ``http://user:password@host/``, and not in the login window.
    """

    own: str
    other: str
    by_address: bool


SITES = [
    # Another port is another origin of the same site.
    Sites("localhost", "localhost", by_address=True),
    Sites("localhost", "127.0.0.1", by_address=False),
    Sites("intranet.test", "evil.test", by_address=False),
]


@pytest.fixture
def server(settings):
    """A server with other settings than the other tests' server."""
    settings.ALLOWED_HOSTS = ["localhost", "intranet.test"]
    settings.MIDDLEWARE = [
        *settings.MIDDLEWARE,
        "frappe_tokens.middleware.TokenAuthenticationMiddleware",
    ]
    started = LiveServer("localhost")
    yield started
    started.stop()


@pytest.fixture(params=SITES, ids=lambda sites: f"{sites.own} by {sites.other}")
def visit(request, chromium, server, other_port, system_manager):
    """Opens a page of this site's or the other's, in a browser that has logged in by Basic."""
    sites = request.param
    made = generate_keys(system_manager)
    own = f"{sites.own}:{urlsplit(server.url).port}"
    login = {"username": made.api_key, "password": made.api_secret}
    context = chromium.new_context(**({} if sites.by_address else {"http_credentials": login}))
    context.set_default_timeout(10_000)
    page = context.new_page()
    prefix = f"{made.token}@" if sites.by_address else ""
    answer = page.goto(f"http://{prefix}{own}/ask")
    assert answer is not None
    assert answer.json() == {"user": "manager"}

    def open_page(target, method, *, of_other_site, **fields):
        host = f"{sites.other}:{other_port}" if of_other_site else own
        named = {"target": f"http://{own}{target}", "method": method, **fields}
        page.goto(f"http://{host}/own-page/?{urlencode(named)}")
        return page

    yield open_page
    context.close()


def press(page):
    """The answer to the form of a page."""
    with page.expect_navigation() as navigation:
        page.click("button")
    return navigation.value


def digests():
    return list(ApiKey.objects.order_by("pk").values_list("secret_digest", flat=True))


@pytest.mark.parametrize(
    ("method", "status", "code"),
    [("post", 403, "cross_site_request"), ("get", 405, "method_not_allowed")],
)
def test_another_site_generates_no_keys(visit, keys, method, status, code):
    before = digests()

    answer = press(visit(RPC, method, of_other_site=True, user="ada"))

    assert (answer.status, answer.json()["code"]) == (status, code)
    assert "authorization" in answer.request.all_headers()
    assert digests() == before


def test_another_site_changes_nothing_by_a_plain_view(visit):
    answer = press(visit("/plain/", "post", of_other_site=True, name="new"))

    assert answer.status == 403
    assert "cross_site_request" in answer.text()
    assert not Group.objects.filter(name="new").exists()


def test_own_pages_still_work(visit, keys):
    before = digests()

    generated = press(visit(RPC, "post", of_other_site=False, user="ada")).json()
    changed = press(visit("/plain/", "post", of_other_site=False, name="new"))

    assert generated["message"]["api_key"] == keys.api_key
    assert digests() != before
    assert changed.status == 200
    assert Group.objects.filter(name="new").exists()
