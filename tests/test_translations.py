"""The translations: each is complete, keeps the placeholders, and is compiled."""

import re
from datetime import timedelta
from pathlib import Path

import polib
import pytest
from django.utils import timezone, translation

import frappe_tokens
from frappe_tokens.keys import generate_keys, revoke

LOCALE = Path(frappe_tokens.__file__).parent / "locale"
LANGUAGES = sorted(folder.name for folder in LOCALE.iterdir())

PLACEHOLDER = re.compile(r"%\(\w+\)[a-z]|%[a-z%]|</?(?:code|strong)>")

each_language = pytest.mark.parametrize("language", LANGUAGES)


def catalog(language, suffix="po"):
    path = LOCALE / language / "LC_MESSAGES" / f"django.{suffix}"
    return polib.pofile(str(path)) if suffix == "po" else polib.mofile(str(path))


def translations_of(entry):
    """The pairs of a message and its translation, in each form of a plural."""
    if not entry.msgid_plural:
        return [(entry.msgid, entry.msgstr)]
    originals = [entry.msgid, entry.msgid_plural]
    forms = list(entry.msgstr_plural.values())
    return list(zip(originals[-len(forms) :], forms, strict=True))


def test_languages():
    assert LANGUAGES == ["de", "es", "zh_Hans"]


@each_language
def test_every_message_is_translated(language):
    entries = [entry for entry in catalog(language) if not entry.obsolete]

    assert [entry.msgid for entry in entries if entry.fuzzy or not entry.translated()] == []
    assert len(entries) > 500


@each_language
def test_placeholders_and_tags_stay(language):
    for entry in catalog(language):
        for original, translated in translations_of(entry):
            expected, found = (sorted(PLACEHOLDER.findall(it)) for it in (original, translated))
            if entry.msgid_plural:
                # A form for one key may say "a key" or "1 key".
                assert {*found} <= {*PLACEHOLDER.findall(entry.msgid_plural)}, translated
            else:
                assert found == expected, translated


@each_language
def test_compiled_messages_are_those_of_the_source(language):
    def pairs(entries):
        return {
            (entry.msgctxt, entry.msgid): entry.msgstr_plural or entry.msgstr for entry in entries
        }

    written = [entry for entry in catalog(language) if not entry.obsolete]

    assert pairs(catalog(language, "mo")) == pairs(written)


@pytest.mark.parametrize(
    ("language", "words"),
    [("de", "API-Schlüssel"), ("es", "Claves de API"), ("zh-hans", "API 密钥")],
)
def test_pages_and_refusals_are_in_the_language_of_the_site(
    client, settings, make_user, language, words
):
    settings.LANGUAGE_CODE = language
    settings.FRAPPE_TOKENS = {"SELF_SERVICE": True}
    user = make_user("ada", is_superuser=True, is_staff=True)
    keys = generate_keys(user, expires_at=timezone.now() + timedelta(days=9))
    client.force_login(user)

    for path in ("/account/api-keys/", "/admin/frappe_tokens/apikey/"):
        assert words in client.get(path).content.decode()

    revoke(keys.instance)
    answer = client.get("/api/keys/", headers={"authorization": str(keys.header)[15:]})
    with translation.override(language):
        assert answer.json()["detail"] == translation.gettext(
            "This API key has been revoked. Ask for a new one."
        )
    assert answer.json()["code"] == "key_revoked"
    assert "revoked" not in answer.json()["detail"]
