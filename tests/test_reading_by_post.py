"""Views that read by POST, as the page about scopes has them."""

import pytest
from django.test import RequestFactory

from frappe_tokens.authentication import BearerAuthentication
from frappe_tokens.keys import generate_keys

from .conftest import bearer_header
from .documentation import blocks, page

(EXAMPLE,) = (
    block for block in blocks(page("how-to/declare-scopes"), "python") if "class Search" in block
)


@pytest.fixture
def search():
    names = {}
    exec(EXAMPLE, names)  # noqa: S102
    return names["Search"]


def code(view, keys):
    """The refusal of a request to ``view``; None if it is accepted."""
    request = RequestFactory().post("/", headers={"Authorization": bearer_header(keys)})
    view = view.as_view(authentication_classes=[BearerAuthentication], permission_classes=[])
    return view(request).data.get("code")


def test_view_that_reads_opens_to_read_only_keys(user, search):
    scoped = {"scopes": ["reports:read"], "read_only": True}

    assert code(search, generate_keys(user, read_only=True)) is None
    assert code(search, generate_keys(user, name="scoped", **scoped)) is None
    other = generate_keys(user, name="other", scopes=["notes"], read_only=True)
    assert code(search, other) == "insufficient_scope"


def test_view_that_takes_any_scope(user, search):
    class Open(search):
        required_scopes = ()
        accepts_any_scope = True

    assert code(Open, generate_keys(user, scopes=["notes"], read_only=True)) is None


@pytest.mark.parametrize(("given", "refusal"), [("1", None), ("", "key_read_only")])
def test_attributes_may_depend_on_the_request(user, search, given, refusal):
    class Depending(search):
        @property
        def accepts_read_only(self):
            return self.request.query_params.get("reads") == "1"

        @property
        def required_scopes(self):
            return [self.request.query_params.get("scope")]

    keys = generate_keys(user, scopes=["notes"], read_only=True)
    request = RequestFactory().post(
        f"/?reads={given}&scope=notes", headers={"Authorization": bearer_header(keys)}
    )
    view = Depending.as_view(authentication_classes=[BearerAuthentication], permission_classes=[])

    assert view(request).data.get("code") == refusal
