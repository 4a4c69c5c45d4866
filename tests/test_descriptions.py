"""What people and programs note about a key, which decides nothing."""

import pytest
from django.core.exceptions import ValidationError

from frappe_tokens import crypto
from frappe_tokens.keys import change_key, generate_keys
from frappe_tokens.models import ApiKey

pytestmark = pytest.mark.django_db

DEEPEST = "deepest"
for _ in range(10):
    DEEPEST = {"a": DEEPEST}


def test_description_and_metadata_are_stored_and_changed(user):
    key = generate_keys(user, description=" Nightly\r\nbackup ", metadata={"team": "ops"}).instance

    stored = ApiKey.objects.get()
    assert (stored.description, stored.metadata) == ("Nightly\nbackup", {"team": "ops"})

    generate_keys(user)  # a rotation keeps them
    change_key(key, description="", metadata={"n": [1, None, {"ä": 0.5}]})

    assert (key.description, key.metadata) == ("", {"n": [1, None, {"ä": 0.5}]})

    change_key(key, metadata=DEEPEST)

    assert ApiKey.objects.get().metadata == DEEPEST


CIRCLE = {}
CIRCLE["a"] = CIRCLE

REFUSED = {
    "list": [],
    "text": "text",
    "none": None,
    "empty name": {"": 1},
    "number first": {"1st": 1},
    "space": {"a b": 1},
    "long name": {"a" * 51: 1},
    "nan": {"a": float("nan")},
    "infinity": {"a": float("inf")},
    "object": {"a": object()},
    "NUL": {"a": "\0"},
    "surrogate": {"a": "\ud800"},
    "long": {"a": "x" * 4096},
    "deep": {"a": DEEPEST},
    "deep list": {"a": [[[[[[[[[[]]]]]]]]]]},
    "circle": CIRCLE,
}


@pytest.mark.parametrize("metadata", REFUSED.values(), ids=REFUSED)
def test_metadata_that_not_every_database_can_store_is_refused(keys, metadata):
    with pytest.raises(ValidationError):
        change_key(keys.instance, metadata=metadata)


def test_metadata_may_spell_out_an_escape(keys):
    change_key(keys.instance, metadata={"a": r"\u0000"})

    assert ApiKey.objects.get().metadata == {"a": r"\u0000"}


@pytest.mark.parametrize("description", ["x" * 501, "bell\a"], ids=["long", "not printable"])
def test_description_is_short_and_printable(keys, description):
    with pytest.raises(ValidationError, match="at most 500 printable") as raised:
        change_key(keys.instance, description=description)
    assert raised.value.error_dict["description"][0].code == "description"

    change_key(keys.instance, description=description[:500].strip("\a"))


@pytest.mark.parametrize("prefix", ["fts_", "acme_"], ids=["present prefix", "older prefix"])
@pytest.mark.parametrize(
    "text",
    [
        *("{}", "key:{}", "TOKEN={}", "({})", "`{}`", "«{}»", "/{}", "{}.", "old|{}"),
        *('Authorization: token "a:{}"', "use {}, now"),
    ],
)
def test_no_text_takes_a_secret(keys, settings, text, prefix):
    text = text.format(crypto.generate_api_secret())
    settings.FRAPPE_TOKENS = {"SECRET_PREFIX": prefix}

    changes = {"name": text, "description": text, "metadata": {"note": [text]}}
    for name, value in changes.items():
        with pytest.raises(ValidationError, match="secret") as raised:
            change_key(keys.instance, **{name: value})
        assert raised.value.error_dict[name][0].code == "secret"


@pytest.mark.parametrize("text", ['"{}"', "old:\n{}\nnew:\tnone", "vault\\{}", "\x7f{}\x1f"])
def test_metadata_takes_no_secret_beside_an_escape(keys, settings, text):
    text = text.format(crypto.generate_api_secret())
    settings.FRAPPE_TOKENS = {"SECRET_PREFIX": "acme_"}

    with pytest.raises(ValidationError, match="secret"):
        change_key(keys.instance, metadata={"note": text})
