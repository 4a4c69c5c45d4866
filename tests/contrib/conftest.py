import pytest

MIDDLEWARE = "frappe_tokens.middleware.TokenAuthenticationMiddleware"


@pytest.fixture
def with_middleware(settings):
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, MIDDLEWARE]
