"""``MAX_KEYS_PER_USER``, by every way to a new key."""

from io import StringIO

import pytest
from django.core.exceptions import ValidationError
from django.core.management import CommandError, call_command

from frappe_tokens.crypto import Secret
from frappe_tokens.keys import (
    Actor,
    ImportedPair,
    create_key,
    generate_keys,
    generate_keys_for_source,
    generate_keys_for_users,
    import_keys,
    importing,
    revoke,
    set_up_pair,
)
from frappe_tokens.models import ApiKey

from .admin.conftest import generate, generate_page
from .client import GENERATE, JSON, client_of
from .test_parallel import at_once

pytestmark = pytest.mark.django_db

SECRET = Secret("a-secret-that-is-long-enough-for-all")
SENTENCE = "User 'ada' can have at most 2 API keys that aren't revoked. Revoke one first"


@pytest.fixture(autouse=True)
def at_most_two(settings):
    settings.FRAPPE_TOKENS = {"MAX_KEYS_PER_USER": 2, "SELF_SERVICE": True}


@pytest.fixture
def full(user):
    """A user who has as many keys as possible."""
    generate_keys(user, name="one")
    generate_keys(user, name="two", read_only=True)
    return user


@pytest.fixture
def root(make_user):
    return make_user("root", is_superuser=True, is_staff=True)


WAYS = {
    "generate": lambda user: generate_keys(user),
    "create": lambda user: create_key(user, name="three", by=Actor(user)),
    "many": lambda user: generate_keys_for_users([user]),
    "pair": lambda user: set_up_pair(user, "chosen", SECRET),
    "import": lambda user: import_keys([ImportedPair(1, "ada", "chosen", SECRET)]),
    "command": lambda user: call_command("generate_keys", "ada", stdout=StringIO()),
}


@pytest.mark.parametrize("way", WAYS)
def test_user_has_at_most_so_many_keys(full, way):
    with pytest.raises((ValidationError, CommandError), match=r"at most 2 API keys|too many keys"):
        WAYS[way](full)
    assert ApiKey.objects.count() == 2

    revoke(ApiKey.objects.get(name="one"))
    WAYS[way](full)
    assert ApiKey.objects.filter(live=True).count() == 2


def test_existing_keys_are_still_rotated(full, settings):
    settings.FRAPPE_TOKENS = {"MAX_KEYS_PER_USER": 1}
    key = ApiKey.objects.get(name="one")

    generate_keys(full, name="one")
    generate_keys_for_users([full], name="two")
    generate_keys_for_source(key)
    set_up_pair(full, key.api_key, SECRET, name="one")

    assert ApiKey.objects.count() == 2


def test_superusers_are_limited_too(root):
    generate_keys(root)
    generate_keys(root, name="second")

    with pytest.raises(ValidationError, match="at most"):
        generate_keys(root, name="third", by=Actor(root))


def test_one_user_who_has_too_many_stops_a_bulk_generation(full, make_user):
    with pytest.raises(ValidationError, match="User 'ada' can have at most"):
        generate_keys_for_users([make_user("grace"), full])

    assert ApiKey.objects.count() == 2


@pytest.mark.parametrize("batch", [1, 250])
def test_import_counts_stored_keys_and_earlier_lines(user, make_user, monkeypatch, batch):
    monkeypatch.setattr(importing, "BATCH_SIZE", batch)
    generate_keys(user)
    make_user("grace")
    pairs = [
        ImportedPair(number, name, f"key{number}", SECRET, f"name {number}")
        for number, name in enumerate(["ada", "grace", "ada", "grace"], 1)
    ]

    with pytest.raises(ValidationError) as caught:
        import_keys(pairs, dry_run=True)
    assert caught.value.messages == [
        "line 3: User 'ada' would have too many keys. Revoke one first, or leave one out."
    ]
    assert import_keys([*pairs[:2], pairs[3]]).keys == 3


def test_import_does_not_count_keys_of_others(user, make_user, settings):
    grace = make_user("grace")
    for name in ("one", "two"):
        generate_keys(grace, name=name)
    settings.FRAPPE_TOKENS = {"MAX_KEYS_PER_USER": 1}

    assert import_keys([ImportedPair(1, "ada", "chosen", SECRET)]).keys == 1


@pytest.mark.django_db(transaction=True)
def test_keys_are_counted_without_a_lock_before_anything_is_made(user, root, client):
    client.force_login(root)

    assert import_keys([ImportedPair(1, "ada", "chosen", SECRET)], dry_run=True).keys == 1
    assert client.get(generate_page(user)).status_code == 200


def test_key_that_is_generated_during_an_import_counts(full):
    revoke(ApiKey.objects.get(name="two"))

    with pytest.raises(ValidationError) as caught:
        import_keys(
            [ImportedPair(1, "ada", "chosen", SECRET)],
            show_progress=lambda line: generate_keys(full, name="meanwhile"),
        )

    assert caught.value.code == "changed"
    assert not ApiKey.objects.filter(api_key="chosen").exists()


def test_rest_responds_409_and_rpc_in_the_envelope(full, root):
    own, roots = client_of(generate_keys(full, name="one")), client_of(generate_keys(root))

    rest = own.post("/api/keys/", {"name": "3"}, JSON)
    rpc = roots.post(GENERATE, {"user": "ada"})

    assert (rest.status_code, rest.json()["code"]) == (409, "too_many_keys")
    assert rest.json()["detail"].startswith(SENTENCE)
    assert (rpc.status_code, rpc.json()["exc_type"]) == (417, "ValidationError")
    assert rpc.json()["code"] == "too_many_keys"
    assert SENTENCE in rpc.json()["exception"]


def test_pages_say_so_and_generate_nothing(full, root, client):
    client.force_login(root)
    add = client.post("/admin/frappe_tokens/apikey/add/", {"user": full.pk, "name": "three"})
    page = client.get(generate_page(full))
    chosen = {"action": "generate_keys", "_selected_action": [full.pk, root.pk]}
    left_out = generate(client, "/admin/auth/user/", **chosen)
    client.force_login(full)
    own = generate(client, "/account/api-keys/new/", name="three")

    assert b"can have at most 2 API keys" in add.content
    assert b"have another key. Revoke one first." in page.content
    assert b"have another key. Revoke one first." in left_out.content
    assert ApiKey.objects.filter(user=root).count() == 1
    assert b"can have at most 2 API keys" in own.content
    assert ApiKey.objects.filter(user=full).count() == 2


def test_pages_generate_the_last_key_that_a_user_may_have(full, root, client):
    revoke(ApiKey.objects.get(name="one"))
    client.force_login(root)

    generated = generate(client, generate_page(full))

    assert b"fts_" in generated.content
    assert ApiKey.objects.filter(user=full, live=True).count() == 2


def test_form_without_a_user_asks_for_one(root, client):
    client.force_login(root)

    response = client.post("/admin/frappe_tokens/apikey/add/", {"name": "three"})

    assert b"This field is required" in response.content


@pytest.mark.parallel
@pytest.mark.django_db(transaction=True)
def test_parallel_calls_do_not_exceed_it_together(user):
    calls = [lambda name=f"{number}": generate_keys(user, name=name) for number in range(8)]
    calls += [lambda name=f"m{n}": generate_keys_for_users([user], name=name) for n in range(8)]
    calls += [lambda key=f"p{n}": set_up_pair(user, key, SECRET, name=key) for n in range(8)]

    results, errors = at_once(*calls)

    assert len(results) == ApiKey.objects.count() == 2
    assert {getattr(error, "code", error) for error in errors} == {"too_many_keys"}
