"""Secrets that are planted wherever a client can put one are found nowhere that people look.

Each canary is planted once, and then looked for in all rows, lines and pages. Two promises are
separate: what is sent where secrets belong (the header), or where the app reads nothing (the query
string, a body, a cookie, other headers), is recorded nowhere, whatever it is. The path and the user
agent are recorded, so whatever looks like a secret in them is hidden.
"""

import base64
import logging
import re
import secrets
from urllib.parse import quote

import pytest
from django.conf import settings
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.management import CommandError, call_command
from django.http import HttpResponse
from django.test import Client
from django.urls import include, path
from rest_framework.exceptions import Throttled
from rest_framework.response import Response
from rest_framework.views import APIView

from frappe_tokens import crypto
from frappe_tokens.keys import generate_keys, revoke
from frappe_tokens.models import ApiKey, ApiRequestLog
from frappe_tokens.request_log import current_sink
from testproject.events.models import EventConsumer

from .account.conftest import make_key, rotate
from .client import GENERATE, JSON, WHO, ask, client_of
from .conftest import PASSWORD

pytestmark = pytest.mark.django_db(transaction=True)


class Answers(APIView):
    """Reads all that was sent, and answers 200, 429 or 500."""

    def get(self, request, how, rest):
        read = [request.data, request.query_params, request.COOKIES]
        if how == "throttled":
            raise Throttled(wait=1)
        if how == "broken":
            raise RuntimeError(f"after {len(read)}")
        return Response({})

    post = get


open_ = Answers.as_view(authentication_classes=(), permission_classes=())

urlpatterns = [
    path("drf/<how>/<path:rest>", Answers.as_view()),
    path("open/<how>/<path:rest>", open_),
    path("plain/<path:rest>", lambda request, rest: HttpResponse(str(request.user))),
    path("", include("testproject.urls")),
]


class Canaries:
    """Makes secrets, and finds them again, as they are and as they may be written."""

    def __init__(self):
        self.all = {}
        self.in_paths = set()

    def __call__(self, where, secret=""):
        """A canary for this place: ``secret``, or a word that nothing knows for one."""
        secret = secret or f"swordfish-{secrets.token_hex(4)}"
        self.all[secret] = where
        return secret

    def secret(self, where):
        return self(where, str(crypto.generate_api_secret()))

    def found_in(self, text, but=frozenset()):
        """Where those that are in ``text`` were planted."""
        # Each of its words once: the same lines come hundreds of times.
        text = "\n".join(set(re.findall(r"[0-9A-Za-z%+/_-]{9,}", text)))
        return {
            where
            for secret, where in self.all.items()
            if where not in but and any(form in text for form in _forms(secret))
        }


def _forms(secret):
    """How ``secret`` may be written: by its beginning, and in Base64 behind anything."""
    prefix, _, body = secret.rpartition("fts_")
    beginning = body[:9] if prefix or len(body) > 20 else secret
    shifted = [base64.b64encode(b"x" * n + secret.encode()).decode()[n + 1 : -4] for n in range(3)]
    return {beginning, quote(secret), *shifted}


class Everything(logging.Handler):
    """All that any logger says, with all that comes along."""

    def __init__(self):
        super().__init__(logging.DEBUG)
        self.ours = []
        self.others = []

    def emit(self, record):
        if settings.DEBUG and record.name == "django.template":
            return  # of Django's page about an error, which is to show what was sent
        said = [record.getMessage()]
        if record.exc_info:
            said.append(logging.Formatter().formatException(record.exc_info))
        # Django hands its handlers the whole request, which is theirs to be careful with.
        said += [repr(value) for name, value in vars(record).items() if name != "request"]
        is_ours = record.name.partition(".")[0] == "frappe_tokens"
        (self.ours if is_ours else self.others).append("\n".join(said))


@pytest.fixture
def logs():
    everything = Everything()
    named = [logging.getLogger(), *map(logging.getLogger, logging.root.manager.loggerDict)]
    before = {logger: (logger.level, logger.disabled) for logger in named}
    for logger in named:
        logger.setLevel(logging.DEBUG)
        logger.disabled = False
        if logger.parent is None or not logger.propagate:
            logger.addHandler(everything)
    yield everything
    for logger, (level, disabled) in before.items():
        logger.setLevel(level)
        logger.disabled = disabled
        logger.removeHandler(everything)


@pytest.fixture
def canaries():
    return Canaries()


@pytest.fixture(params=["durable", "buffered"])
def log(request, settings, as_in_production):
    """The kind of the request log."""
    settings.ROOT_URLCONF = __name__
    settings.ALLOWED_HOSTS = ["*"]
    settings.FRAPPE_TOKENS = {
        "SOURCES": {"EventConsumer": "events.EventConsumer"},
        "SELF_SERVICE": True,
        "REQUEST_LOG": request.param,
        "REQUEST_LOG_LIMIT": None,
    }
    yield request.param
    getattr(current_sink(), "close", current_sink().flush)()


def basic(text):
    return "Basic " + base64.b64encode(text.encode()).decode()


def headers(canaries, keys):
    """Authorization headers of all kinds."""
    right, key, secret = str(keys.api_secret), keys.api_key, canaries.secret
    canaries("right secret", right)
    typo = secret("mistyped")[:-1]
    return [
        f"token {keys.token}",
        f"Bearer {keys.token}",
        basic(keys.token),
        f"token {key}:{secret('wrong')}",
        f"Bearer {key}:{secret('wrong, Bearer')}",
        basic(f"{key}:{secret('wrong, Basic')}"),
        f"token {key}:{typo}",
        f"token {secret('swapped')}:{key}",
        f"Bearer {secret('swapped, Bearer')}:{key}",
        basic(f"{secret('swapped, Basic')}:{key}"),
        f"token {secret('swapped and mistyped')[:-3]}:{key}",
        "token " + secret("swapped, quoted").join('""') + f':"{key}"',
        f"token secret={secret('swapped, named')}:key={key}",
        f"token {secret('swapped, in a list')},:{key}",
        f"token x{secret('swapped, with junk before')}:{key}",
        basic(f"{secret('swapped, without prefix').removeprefix('fts_')}:{key}"),
        f"token {secret('alone')}",
        f"Bearer {secret('alone, Bearer')}",
        basic(f":{secret('alone, password')}"),
        f"{key}:{secret('without a scheme')}",
        f"Bearer {canaries('opaque')}",
        f"Token {canaries('of another package', secrets.token_hex(20))}",
        basic(f"ada:{canaries('password')}"),
        f"token {key}:{canaries('too long') * 40}",
        f"token {canaries('too long, first') * 40}:{key}",
        f"token {key}:{secret('NUL')}\0",
        f"token {key}:{canaries('no ASCII')}\xe9",
        f"Digest {canaries('of no package')}",
        f"token{secret('without a space')}",
        f"token {key}:{secret('two')}, token {key}:{secret('two, second')}",
    ]


def addresses(canaries, key):
    """Where to, with what can be known for a secret in the path."""
    pair = f"{key}:{canaries.secret('path, pair')}"
    encoded = base64.b64encode(f"{key}:{canaries.secret('path, Base64')}".encode()).decode()
    paths = [
        WHO,
        f"/drf/fine/{canaries.secret('path')}",
        f"/drf/broken/{pair}",
        f"/drf/throttled/{quote(pair, safe='')}",
        f"/drf/fine/{canaries('path, cut', str(crypto.generate_api_secret())[:30])}/x",
        f"/open/fine/{encoded}",
        f"/open/broken/x%3Ftoken={canaries('query in the path')}",
        f"/plain/x%253Ftoken={canaries('query in the path, encoded twice')}",
        f"/plain/{'-' * 480}{canaries.secret('path, at the cut')}",
        f"/missing/{canaries.secret('path, missing')}",
        f"/api/keys/{canaries.secret('path, of REST')}/",
        "/admin/",
    ]
    canaries.in_paths |= {where for where in canaries.all.values() if "path" in where}
    # Looked up like any other that may be a key: Django's own lines about its queries, which are
    # there with DEBUG only, have it.
    canaries.in_paths.add("swapped, without prefix")
    return paths


def plant(canaries, keys):
    """Send canaries everywhere; how many requests."""
    client = Client(raise_request_exception=False)
    client.cookies["token"] = canaries("cookie")
    client.cookies["sid"] = canaries.secret("cookie, secret")
    sent = 0
    # All headers to some addresses, and some headers to all.
    for number, authorization in enumerate(headers(canaries, keys)):
        for address in addresses(canaries, keys.api_key)[:: 1 if number % 4 == 0 else 3]:
            meta = {
                "HTTP_AUTHORIZATION": authorization,
                "QUERY_STRING": f"token={canaries('query')}&api_secret={canaries.secret('query')}",
                "HTTP_USER_AGENT": f"app/1 ({canaries.secret('user agent')}; {'x' * 30}) \x1b[2J",
                "HTTP_REFERER": f"https://example.com/?token={canaries('referer')}",
                "HTTP_X_FORWARDED_FOR": f"{canaries('forwarded for')}, 192.0.2.1",
                "HTTP_X_API_KEY": f"{keys.api_key}:{canaries.secret('another header')}",
            }
            body = {"token": canaries("form"), "usr": "ada", "pwd": canaries.secret("form, secret")}
            sent += 3
            client.get(address, **meta)
            client.post(address, body, **meta)
            source = {"HTTP_FRAPPE_AUTHORIZATION_SOURCE": canaries("source")}
            client.post(address, {"k": canaries("JSON")}, JSON, **meta, **source)
    return sent


def rows():
    """All columns of all rows that the app writes, and the sessions, whose text is signed."""
    models = [ApiKey, ApiRequestLog, LogEntry, EventConsumer]
    stored = [repr(list(model._default_manager.values())) for model in models]
    return "\n".join([*stored, *(repr(session.get_decoded()) for session in Session.objects.all())])


def pages(user, key):
    """What staff and programs can look at."""
    client = Client()
    client.force_login(user)
    (pk,) = ApiKey.objects.filter(api_key=key).values_list("pk", flat=True)
    entry = ApiRequestLog.objects.latest("pk")
    answers = [
        client.get(address)
        for address in [
            "/admin/",
            "/admin/frappe_tokens/apirequestlog/",
            "/admin/frappe_tokens/apirequestlog/?p=2",
            f"/admin/frappe_tokens/apirequestlog/{entry.pk}/change/",
            f"/admin/frappe_tokens/apikey/{pk}/change/",
            f"/admin/frappe_tokens/apikey/{pk}/history/",
            "/admin/frappe_tokens/apikey/",
            f"/admin/auth/user/{ApiKey.objects.get(pk=pk).user_id}/change/",
            "/account/api-keys/",
            "/api/keys/",
            f"/api/keys/{key}/",
            f"/api/keys/{key}/usage/",
        ]
    ]
    assert [answer.status_code for answer in answers] == [200] * len(answers)
    return "\n".join(answer.content.decode() for answer in answers)


@pytest.fixture
def root(make_user):
    return make_user("root", is_staff=True, is_superuser=True)


# Hundreds of requests, whose queries Django keeps too with DEBUG: so each log and each DEBUG once.
@pytest.mark.parametrize(
    ("log", "debug"), [("durable", False), ("buffered", True)], indirect=["log"]
)
def test_requests_leave_no_canary(log, debug, settings, keys, root, canaries, logs):
    settings.DEBUG = debug
    sent = plant(canaries, keys)
    revoked = generate_keys(keys.instance.user, name="revoked")
    revoke(revoked.instance, reason=f"{canaries('revoked', revoked.token)} was seen")
    ask(revoked)
    current_sink().flush()
    assert ApiRequestLog.objects.count() == sent + 1
    outcomes = set(ApiRequestLog.objects.values_list("outcome", flat=True))
    refusals = {"invalid_credentials", "key_revoked", "malformed_credentials"}
    assert outcomes == {"accepted", "other"} | refusals
    assert set(ApiRequestLog.objects.values_list("status", flat=True)) >= {200, 401, 404, 429, 500}
    assert len(canaries.all) > 1000

    assert canaries.found_in(rows()) == set()
    assert canaries.found_in(pages(root, keys.api_key)) == set()
    assert len(logs.ours) > 100
    assert canaries.found_in("\n".join(logs.ours)) == set()
    # Django says which path it was, as all who log addresses do.
    assert canaries.found_in("\n".join(logs.others), frozenset(canaries.in_paths)) == set()


def test_managing_keys_leaves_no_canary(log, user, root, canaries, logs, tmp_path, capsys):
    manager = generate_keys(root)
    canaries("manager's", str(manager.api_secret))
    given = []

    def keep(answer):
        assert answer.status_code in {200, 201, 204}, answer.content
        given.extend(re.findall(r"fts_[0-9A-Za-z]{49}", answer.content.decode()))
        return answer

    client = client_of(manager)
    keep(client.post(GENERATE, {"user": "ada"}))
    keep(client.post(GENERATE, {"user": "ada"}))
    made = keep(client.post("/api/keys/", {"user": "ada", "name": "x"}, JSON))
    place = f"/api/keys/{made.json()['api_key']}/"
    keep(client.post(f"{place}rotate/", {"grace": 60}, JSON))
    keep(client.delete(place))
    leaked = canaries("leaked", generate_keys(user, name="leaked").token)
    alone = canaries("leaked alone", generate_keys(user, name="leaked alone").api_secret)
    for sender, token in [(Client(), leaked), (client, leaked), (Client(), alone)]:
        keep(sender.post("/api/keys/revoke-leaked/", {"token": token}, JSON))

    browser = Client()
    assert browser.login(username="root", password=PASSWORD)
    keep(make_key(browser, name="mine"))
    keep(rotate(browser, ApiKey.objects.get(name="mine")))
    keep(browser.post("/admin/frappe_tokens/apikey/add/", {"user": user.pk, "name": "theirs"}))

    call_command("generate_keys", "ada", "--name", "command")
    given += re.findall(r"fts_[0-9A-Za-z]{49}", capsys.readouterr().out)
    listed = tmp_path / "keys.csv"
    imported = canaries("imported", secrets.token_hex(20))
    swapped = canaries.secret("import, swapped")
    listed.write_text(f"user,api_key,api_secret,name\nada,brought,{imported},brought\n")
    call_command("import_keys", str(listed))
    listed.write_text(f"user,api_key,api_secret,name\nada,{swapped},brought-again,again\n")
    with pytest.raises(CommandError) as refused:
        call_command("import_keys", str(listed))
    call_command("list_keys")
    call_command("revoke_keys", "brought")
    current_sink().flush()

    assert len(set(given)) == 8
    for secret in given:
        canaries("given", secret)
    printed = capsys.readouterr()
    assert canaries.found_in(printed.out + printed.err + str(refused.value)) == set()
    assert canaries.found_in(rows()) == set()
    assert canaries.found_in(pages(root, manager.api_key)) == set()
    events = "\n".join(logs.ours)
    assert events.count("keys_generated") > 8
    assert canaries.found_in("\n".join(logs.ours + logs.others)) == set()


def test_canaries_are_found_where_they_are(canaries):
    secret, word = canaries.secret("secret"), canaries("word")
    for text in (
        secret,
        f"x {secret[4:20]}",
        *(base64.b64encode(f"{'k' * n}:{secret}".encode()).decode() for n in range(4)),
    ):
        assert canaries.found_in(text) == {"secret"}
        assert canaries.found_in(text, frozenset({"secret"})) == set()
    assert canaries.found_in(f"x{word}x") == {"word"}
    assert canaries.found_in("xx") == set()
