"""The networks that a key may be used from, by every way in that takes them."""

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from frappe_tokens import addresses
from frappe_tokens.keys import change_key, generate_keys
from frappe_tokens.models import ApiKey
from tests.account.conftest import NEW, make_key, text_of
from tests.html import elements, text
from tests.rest.conftest import send

pytestmark = pytest.mark.django_db

ADMIN = "/admin/frappe_tokens/apikey/"
ADD = f"{ADMIN}add/"


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


@pytest.fixture
def browser(client, root):
    client.force_login(root)
    return client


def by_python(browser, root, networks):
    try:
        generate_keys(root, name="new", allowed_ips=networks)
    except ValidationError as error:
        return " ".join(error.messages)


def by_change(browser, root, networks):
    key = generate_keys(root, name="new").instance
    try:
        change_key(key, allowed_ips=networks)
    except ValidationError as error:
        return " ".join(error.messages)


def by_command(browser, root, networks):
    chosen = [word for network in networks for word in ("--allow-ip", network)]
    try:
        call_command("generate_keys", "root", "--name", "new", *chosen)
    except CommandError as error:
        return str(error)


def by_rest(browser, root, networks):
    body = {"name": "new", "allowed_ips": networks}
    return str(send(generate_keys(root), "POST", "", body).json())


def by_rest_change(browser, root, networks):
    key = generate_keys(root, name="new")
    return str(send(generate_keys(root), "PATCH", key.api_key, {"allowed_ips": networks}).json())


def by_account(browser, root, networks):
    return text_of(make_key(browser, name="new", allowed_ips="\n".join(networks)))


def form_of(root, networks):
    empty = ("scopes", "rate_limit", "expires_at_0", "expires_at_1")
    form = {"user": root.pk, "name": "new", "allowed_ips": " ".join(networks)}
    return {**form, **dict.fromkeys(empty, "")}


def by_admin(browser, root, networks):
    return text_of(browser.post(ADD, form_of(root, networks)))


def by_admin_change(browser, root, networks):
    key = generate_keys(root, name="new").instance
    return text_of(browser.post(f"{ADMIN}{key.pk}/change/", form_of(root, networks)))


WAYS = [
    by_python,
    by_change,
    by_command,
    by_rest,
    by_rest_change,
    by_account,
    by_admin,
    by_admin_change,
]
every_way = pytest.mark.parametrize("give", WAYS, ids=lambda way: way.__name__)


@every_way
def test_network_with_bits_outside_its_mask_is_refused_with_a_proposal(browser, root, give):
    answer = give(browser, root, ["192.0.2.7", "127.0.0.1/8"])

    assert "127.0.0.1/8 is not a network. Did you mean 127.0.0.0/8?" in answer
    assert not any(key.allowed_ips for key in ApiKey.objects.all())


@every_way
def test_addresses_are_taken_and_kept_in_one_form(browser, root, give):
    given = [
        "192.0.2.7",
        "192.0.2.7/32",
        "10.0.0.0/255.0.0.0",
        "2001:DB8:0::1",
        "::ffff:1.2.3.0/120",
        "::ffff:0:0/96",
    ]

    give(browser, root, given)

    stored = ApiKey.objects.get(name="new").allowed_ips
    assert stored == ["192.0.2.7", "10.0.0.0/8", "2001:db8::1", "1.2.3.0/24", "0.0.0.0/0"]


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("127.0.0.1/8", "127.0.0.0/8"),
        ("2001:db8::1/32", "2001:db8::/32"),
        ("::ffff:127.0.0.1/104", "127.0.0.0/8"),
        ("::ffff:127.0.0.1/95", "::fffe:0:0/95"),
        ("10.0.0.1/0", ""),
        ("2001:db8::1/0", ""),
        ("192.0.2.300", ""),
        ("192.0.2.1/33", ""),
        ("fe80::1%eth0/64", ""),
    ],
)
def test_proposal_is_the_network_of_the_address(text, meant):
    assert addresses.meant_network(text) == meant


@pytest.mark.parametrize("page", [NEW, ADD])
@pytest.mark.parametrize(
    ("num_proxies", "address"), [(0, "198.51.100.9"), (1, "192.0.2.7"), (2, "203.0.113.5")]
)
def test_forms_say_which_address_the_visitor_has(browser, settings, page, num_proxies, address):
    """As the decision finds it, behind proxies too."""
    settings.FRAPPE_TOKENS = {"NUM_PROXIES": num_proxies}
    headers = {"x-forwarded-for": "203.0.113.5, 192.0.2.7"}

    answer = browser.get(page, headers=headers, REMOTE_ADDR="198.51.100.9")

    (help_text,) = elements(text_of(answer), id="id_allowed_ips_helptext")
    assert text(help_text).endswith(f"allow all. Your address is now {address}.")


def test_forms_say_nothing_about_an_unknown_address(browser):
    answer = browser.get(NEW, REMOTE_ADDR="")

    (help_text,) = elements(text_of(answer), id="id_allowed_ips_helptext")
    assert text(help_text).endswith("Leave empty to allow all.")
