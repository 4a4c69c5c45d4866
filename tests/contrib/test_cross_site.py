"""A browser adds its Basic login to what another site makes it send: no way in takes that."""

import pytest

from frappe_tokens import crypto
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import GeneratedKeys, generate_keys
from frappe_tokens.models import ApiKey

from ..conftest import basic_header, bearer_header, token_header
from .ways import SCOPE, WAYS

pytestmark = [
    pytest.mark.django_db,
    pytest.mark.urls("tests.contrib.ways"),
    pytest.mark.usefixtures("with_middleware"),
]

FROM_ANOTHER_SITE = [
    {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
    {"Sec-Fetch-Site": "same-site", "Origin": "http://other.testserver"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
]
FROM_THIS_SITE = [
    {},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver"},
    {"Sec-Fetch-Site": "none"},
    {"Origin": "http://testserver"},
]


@pytest.fixture(params=WAYS, ids=[way.name for way in WAYS])
def way(request):
    return request.param


@pytest.fixture
def ask(way):
    """Sends one request by the way: ``ask(header, {"Origin": "null"}, method="POST")``."""

    def ask(header, page, *, method):
        return way.ask(way.path, header, method=method, source=None, address="192.0.2.1", **page)

    return ask


def assert_refused(answer, reason=Reason.CROSS_SITE_REQUEST):
    assert (answer.status, answer.body) == (
        reason.status,
        {"detail": str(reason.sentence), "code": reason.code},
    )


@pytest.mark.parametrize("page", FROM_ANOTHER_SITE)
def test_basic_is_refused_where_another_site_sent_it(ask, keys, page):
    answer = ask(basic_header(keys), page, method="POST")

    assert_refused(answer)
    assert "WWW-Authenticate" not in answer.headers
    assert ApiKey.objects.get().last_used_at is None


@pytest.mark.parametrize("page", FROM_THIS_SITE)
def test_basic_needs_no_csrf_token_from_this_site(ask, keys, page):
    assert ask(basic_header(keys), page, method="POST").body == {"user": "ada", "auth": "ApiKey"}


@pytest.mark.parametrize("header_of", [token_header, bearer_header])
@pytest.mark.parametrize("page", FROM_ANOTHER_SITE)
def test_schemes_that_no_browser_adds_by_itself_are_let_in(
    ask,
    keys,
    header_of,
    page,
):
    assert ask(header_of(keys), page, method="POST").status == 200


def test_reading_is_let_in_where_the_other_site_cannot_read_the_answer(ask, keys, way):
    for page in FROM_ANOTHER_SITE:
        answer = ask(basic_header(keys), page, method="GET")
        if way.name == "Channels":
            assert_refused(answer)
        else:
            assert answer.status == 200


def test_trusted_origin_is_let_in(ask, keys, settings):
    settings.CSRF_TRUSTED_ORIGINS = ["https://app.example.com"]
    page = {"Sec-Fetch-Site": "cross-site", "Origin": "https://app.example.com"}

    assert ask(basic_header(keys), page, method="POST").status == 200


@pytest.mark.parametrize(
    ("policies", "reason"),
    [
        ({"allowed_ips": ["203.0.113.0/24"]}, Reason.IP_NOT_ALLOWED),
        ({"read_only": True}, Reason.KEY_READ_ONLY),
        ({"scopes": ["other"]}, Reason.CROSS_SITE_REQUEST),
        ({"scopes": [SCOPE]}, Reason.CROSS_SITE_REQUEST),
    ],
)
def test_refusal_has_its_place_among_the_others(ask, user, policies, reason):
    header = basic_header(generate_keys(user, **policies))

    assert_refused(ask(header, FROM_ANOTHER_SITE[0], method="POST"), reason)


def test_wrong_secret_is_told_nothing_of_it(ask, keys):
    wrong = GeneratedKeys(keys.api_key, crypto.generate_api_secret(), keys.instance)
    answer = ask(basic_header(wrong), FROM_ANOTHER_SITE[0], method="POST")

    assert_refused(answer, Reason.INVALID_CREDENTIALS)
