"""Size and charset of bodies are checked before they are read."""

import bz2
import io
import tracemalloc
from contextlib import contextmanager

import pytest
from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.handlers.asgi import ASGIRequest
from django.test import Client, RequestFactory
from rest_framework.parsers import MultiPartParser
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens.api.bodies import MAX_BYTES, check_body
from frappe_tokens.api.envelope import FrappeEnvelopeMixin
from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .addresses import calls
from .client import GENERATE, JSON
from .conftest import token_header
from .rest.conftest import works

pytestmark = pytest.mark.django_db

FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"
KEYS = "/api/keys/"

# Its addresses read no body, form or query.
READS_NOTHING = "/api/.well-known/"
READING = [call for call in calls() if not call[1].path.startswith(READS_NOTHING)]
ALSO_OURS = [("POST", path) for path in ("/", "/api/resource/ToDo", "/api/events/")]

UNPACKED = 50_000_000
BOMB = bz2.compress(b" " * UNPACKED)
# The last four are encodings of text. Some take time by the square of the length.
ODD = ["base64", "hex", "quopri", "rot13", "uu", "idna", "punycode", "unicode_escape", "utf-7"]


class Unreadable(io.BytesIO):
    def read(self, *args):
        pytest.fail("The body was read.")

    readline = read


@contextmanager
def little_memory():
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < UNPACKED / 10


def send(method, path, body, content_type, **options):
    path %= {"api_key": "ftk_8o0DDDR5IXrWHVV5"}
    return Client().generic(method, path, body, content_type=content_type, **options)


def send_unread(method, path, content_type, length, **meta):
    """The same with a body that must not be read."""
    meta |= {"wsgi.input": Unreadable(), "CONTENT_LENGTH": str(length)}
    return send(method, path, b"", content_type, CONTENT_TYPE=content_type, **meta)


def assert_unreadable(response):
    """Refused in the form of the address: Frappe's envelope, DRF's, or OAuth 2's."""
    body = response.json()
    if "exc_type" in body:
        assert (response.status_code, body["exc_type"]) == (417, "ValidationError")
        assert body["code"] == "parse_error"
    else:
        assert response.status_code == 400
        assert "parse_error" in body.values() or body["error"] == "invalid_request"


# The charset


@pytest.mark.parametrize(("method", "address"), READING, ids=str)
def test_small_body_that_unpacks_to_a_large_one_is_refused(method, address):
    send(method, address.path, b"", JSON)  # The first request imports modules.

    for content_type in (JSON, FORM, MULTIPART):
        with little_memory():
            response = send(method, address.path, BOMB, f"{content_type}; charset=bz2_codec")

        assert_unreadable(response)


@pytest.mark.parametrize("content_type", [JSON, FORM, MULTIPART])
@pytest.mark.parametrize(("method", "path"), ALSO_OURS)
def test_example_project_refuses_odd_charsets(method, path, content_type):
    for charset in ["bz2_codec", *ODD]:
        body = BOMB if charset == "bz2_codec" else b"user=%FF&cmd=login"
        with little_memory():
            response = send(method, path, body, f"{content_type}; charset={charset}")

        assert response.status_code in {400, 417}


@pytest.mark.parametrize(("method", "address"), READING, ids=str)
def test_query_in_another_charset_is_refused(method, address):
    """Django reads the query in the charset of the body."""
    for charset in ("unicode_escape", "utf-7"):  # most others Django's own request cannot take
        form = f"{FORM}; charset={charset}"
        path = f"{address.path}?user=%%FF&days=%%FF"
        assert_unreadable(send(method, path, b"", form, CONTENT_TYPE=form))


@pytest.mark.parametrize("charset", ["UTF8", "us-ascii", "latin1", '"utf-8"', "unheard-of"])
def test_text_of_the_largest_size_is_read(keys, settings, charset):
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    body = b'{"name": "deploy"}'.ljust(MAX_BYTES)
    headers = {"authorization": token_header(keys)}

    response = send("POST", KEYS, body, f"{JSON}; charset={charset}", headers=headers)

    assert response.status_code == 201
    assert response.json()["name"] == "deploy"


def test_part_named_in_an_unknown_charset_is_refused(system_manager, monkeypatch):
    # Some versions of Django leave out such a part, and some raise this.
    def parse(*args):
        raise LookupError("unknown encoding: unheard-of")

    monkeypatch.setattr(MultiPartParser, "parse", parse)
    headers = {"authorization": token_header(generate_keys(system_manager))}

    assert_unreadable(send("POST", GENERATE, b"--b--\r\n", MULTIPART, headers=headers))


def reads_forms(get_response):
    """A middleware of a project."""

    def middleware(request):
        request.POST.get("_method")
        return get_response(request)

    return middleware


@pytest.mark.parametrize("path", [KEYS, f"{KEYS}revoke-leaked/"])
def test_form_that_a_middleware_has_read_is_not_taken_for_an_empty_body(
    system_manager, settings, path
):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.reads_forms"]
    key = generate_keys(system_manager, name="admin")
    form = {"name": "narrow", "read_only": "true"}

    response = Client().post(path, form, headers={"authorization": token_header(key)})

    assert (response.status_code, response.json()["code"]) == (415, "unsupported_media_type")
    assert ApiKey.objects.get() == key.instance


def test_views_that_take_forms_take_those_that_a_middleware_has_read(system_manager, settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, f"{__name__}.reads_forms"]
    headers = {"authorization": token_header(generate_keys(system_manager, name="admin"))}
    form = {"user": system_manager.username}

    response = Client().post(GENERATE, form, headers=headers)

    assert response.status_code == 200
    assert works(**response.json()["message"])


# The size


@pytest.mark.parametrize(("method", "address"), READING, ids=str)
def test_body_that_is_large_or_without_a_length_is_refused_before_it_is_read(method, address):
    """Without a length, it would be read as empty: a key would be without its restriction."""
    for content_type in (JSON, FORM, MULTIPART):
        assert_unreadable(send_unread(method, address.path, content_type, MAX_BYTES + 1))
    assert_unreadable(send_unread(method, address.path, JSON, "", HTTP_TRANSFER_ENCODING="chunked"))
    for length in ("-1", "many"):
        assert_unreadable(send_unread(method, address.path, JSON, length))


def test_body_of_unknown_length_is_refused_under_asgi():
    """HTTP/2 needs neither header."""
    scope = {"type": "http", "method": "POST", "path": KEYS, "headers": []}

    check_body(ASGIRequest(scope, io.BytesIO()), MAX_BYTES)
    with pytest.raises(SuspiciousOperation, match="Content-Length"):
        check_body(ASGIRequest(scope, io.BytesIO(b'{"read_only": true}')), MAX_BYTES)


@pytest.mark.parametrize(("own", "limit"), [(100, MAX_BYTES), (100, None), (None, 100)])
def test_smaller_limit_of_the_project_applies(settings, own, limit):
    request = RequestFactory().post("/", b"x" * 101, content_type=JSON)
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = own

    with pytest.raises(RequestDataTooBig, match="100 bytes"):
        check_body(request, limit)

    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = None
    check_body(request)


@pytest.mark.parametrize(("method", "path"), ALSO_OURS)
def test_example_projects_bodies_are_as_large_as_the_project_says(settings, method, path):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000

    for content_type in (JSON, FORM):
        assert send_unread(method, path, content_type, 1001).status_code in {400, 417}


class Upload(FrappeEnvelopeMixin, APIView):
    authentication_classes = []
    permission_classes = [AllowAny]

    def post(self, request):
        return Response(request.FILES["file"].size)


def test_files_of_a_projects_view_are_not_limited(settings):
    settings.DATA_UPLOAD_MAX_MEMORY_SIZE = 1000
    file = SimpleUploadedFile("report.txt", b"x" * 2000)

    response = Upload.as_view()(RequestFactory().post("/", {"file": file}))

    assert response.data == 2000
