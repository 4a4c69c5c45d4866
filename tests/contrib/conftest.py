import pytest

from .ways import WAYS

MIDDLEWARE = "frappe_tokens.middleware.TokenAuthenticationMiddleware"


@pytest.fixture
def with_middleware(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]


@pytest.fixture(params=WAYS, ids=[way.name for way in WAYS])
def way(request, with_middleware, settings):
    """Each way in: DRF, the middleware, Ninja and Channels."""
    settings.ROOT_URLCONF = "tests.contrib.ways"
    return request.param


@pytest.fixture
def ask(way):
    """Sends one request by the way: ``ask(header, "POST", origin="null")``."""

    def ask(header, method="GET", *, address="192.0.2.1", undeclared=False, **headers):
        where = way.undeclared if undeclared else way.path
        return way.ask(where, header, method, address, headers)

    return ask
