"""docs/move/authtoken.md, done step by step, with DRF's own tokens."""

import pytest
from rest_framework.authtoken.models import Token

from frappe_tokens.keys import generate_keys
from frappe_tokens.models import ApiKey

from .conftest import ask, handed_out, moves_and_returns, order_is_right

PAGE = "move/authtoken"

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.move.site")]


@pytest.fixture
def old(user):
    """The header of a client that hasn't moved."""
    return f"Token {Token.objects.create(user=user)}"


def test_both_work_until_the_old_tokens_are_switched_off_and_back_on(reader, old):
    moves_and_returns(reader, old, "Token")


def test_order_of_the_classes_is_right(reader):
    order_is_right(reader)


def test_keys_are_for_active_users_with_a_token_and_without_a_key(reader, old, make_user):
    for name, active in (("grace", True), ("gone", False), ("tokenless", True)):
        user = make_user(name, is_active=active)
        if name != "tokenless":
            Token.objects.create(user=user)
    present = generate_keys(make_user("moved"))
    Token.objects.create(user=present.instance.user)

    reader.execute("Generate keys")

    assert handed_out().keys() == {"ada", "grace"}
    assert ApiKey.objects.count() == 3
    with pytest.raises(FileExistsError):
        reader.execute("Generate keys")


def test_log_names_the_users_who_still_send_an_old_token(reader, old, make_user, capsys):
    reader.accept_both()
    moved = generate_keys(make_user("grace"))
    ask(old)
    ask(f"Token {moved.token}")
    ask("Token wrong")

    reader.execute("See who still sends an old token")

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("ada 2")


def test_table_can_be_dropped(reader):
    reader.run("Switch the old tokens off", "--plan", "--verbosity=0")
