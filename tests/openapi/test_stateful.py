"""Schemathesis uses, changes and ends what earlier responses have made, in long sequences.

The whole HTTP API: that of the schema, and that of OAuth 2. Each response must be described, and
what has ended must never open anything again.
"""

import base64
import json

import pytest
import schemathesis
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections, transaction
from django.test import Client
from hypothesis import HealthCheck, Phase
from hypothesis import settings as amount
from schemathesis import checks as schemathesis_checks

from frappe_tokens.keys import generate_keys

from ..oauth.conftest import REDIRECT_URI, SECRET
from ..oauth.conftest import confidential as confidential
from .oauth_paths import METHODS, oauth_paths
from .test_fuzzing import CHECKS, TIMES, with_what_there_is

SELF = "/api/keys/self/"
STEPS = 20
# What the key of a request may do differs, and so does the description's own example.
EXCLUDED = ["/api/schema/", "/api/mcp/"]


def linked(schema):
    """Link what makes a key or a to-do to all that can be done with it."""
    for maker, name, pointer in (
        (("/api/keys/", "post", "201"), "api_key", "$response.body#/api_key"),
        (("/api/resource/ToDo/", "post", "200"), "name", "$response.body#/data/name"),
    ):
        path, method, status = maker
        links = schema["paths"][path][method]["responses"][status].setdefault("links", {})
        for other, item in schema["paths"].items():
            if other.startswith(path + "{"):
                for verb, operation in item.items():
                    links[f"{verb} {other}"] = {
                        "operationId": operation["operationId"],
                        "parameters": {f"path.{name}": pointer},
                    }
    leaked = {"token": "$response.body#/api_secret"}
    made = schema["paths"]["/api/keys/"]["post"]["responses"]["201"]["links"]
    report = schema["paths"]["/api/keys/revoke-leaked/"]["post"]
    made["report"] = {"operationId": report["operationId"], "requestBody": leaked}
    return schema


def machine_of(schema, callers):
    """Return the state machine, whose requests have the credentials of ``callers`` or new ones."""

    class Machine(schema.as_state_machine()):
        sent = 0
        met = set()

        def setup(self):
            self.atomic = transaction.atomic()
            self.atomic.__enter__()
            # By API key: the secrets that ended, the one that works, and whether the key is off.
            self.keys = {keys.api_key: [set(), str(keys.api_secret), False] for keys in callers()}
            self.headers = [token(*pair) for pair in self.working()]
            self.steps = 0

        def teardown(self):
            transaction.set_rollback(True)
            self.atomic.__exit__(None, None, None)
            super().teardown()

        def working(self):
            return [
                (name, secret) for name, (_, secret, off) in self.keys.items() if secret and not off
            ]

        def get_call_kwargs(self, case):
            """Send the first two credentials most of the time, and the new ones in turn."""
            self.steps += 1
            choice = self.steps % 3 if self.steps % 4 else self.steps
            header = self.headers[choice % len(self.headers)]
            if case.operation.path.startswith(METHODS) and "profile" not in case.operation.path:
                return {}
            return {"headers": {"Authorization": header}}

        def after_call(self, response, case):
            super().after_call(response, case)
            type(self).sent += 1
            type(self).met.add((case.operation.label, response.status_code))
            if response.status_code < 300:
                self.note(case, response)

        def note(self, case, response):
            """Take down what the response says about a key, and try what it ended or made."""
            body = response.json() if response.content else {}
            path, method = case.operation.path, case.method.upper()
            pair = body.get("message", body) if isinstance(body, dict) else {}
            if isinstance(pair, dict) and "api_secret" in pair:
                self.replace(pair, case)
            elif isinstance(pair, dict) and "access_token" in pair:
                self.headers.append(f"Bearer {pair['access_token']}")
            elif path == "/api/keys/revoke-leaked/":
                token_of = case.body.get("token") if isinstance(case.body, dict) else None
                for name, (_, secret, _off) in [*self.keys.items()]:
                    if token_of in (secret, f"{name}:{secret}"):
                        self.end(name)
            elif path == "/api/keys/{api_key}/" and method == "DELETE":
                self.end(str(case.path_parameters["api_key"]))
            elif path.endswith(("/disable/", "/enable/")) and body["api_key"] in self.keys:
                self.keys[body["api_key"]][2] = path.endswith("/disable/")
            self.try_all()

        def replace(self, pair, case):
            ended, before, off = self.keys.get(pair["api_key"], (set(), "", False))
            if before and not (isinstance(case.body, dict) and case.body.get("grace")):
                ended = {*ended, before}
            self.keys[pair["api_key"]] = [ended, pair["api_secret"], off]
            self.headers.append(token(pair["api_key"], pair["api_secret"]))

        def end(self, name):
            if name in self.keys:
                ended, secret, off = self.keys[name]
                self.keys[name] = [{*ended, secret} - {""}, "", off]

        def try_all(self):
            """Try what has ended, and what works, as far as this test knows."""
            for name, (ended, secret, off) in self.keys.items():
                for each in ended:
                    assert status_of(name, each) == 401, "an ended secret works"
                if secret:
                    # 403: not from this address.
                    expected = {401} if off else {200, 403}
                    assert status_of(name, secret) in expected, "a secret doesn't do what it must"

        def validate_response(self, response, case, **options):
            case.validate_response(response, checks=schemathesis_checks.CHECKS.get_by_names(CHECKS))

    return Machine


@pytest.fixture
def application():
    """The site, which keeps the connection whose transaction this test rolls back."""
    site = get_wsgi_application()

    def answer(environ, start_response):
        # Each time, because the test client connects it again.
        for signal in (request_started, request_finished):
            signal.disconnect(close_old_connections)
        return site(environ, start_response)

    yield answer
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


def token(api_key, api_secret):
    return f"token {api_key}:{api_secret}"


def status_of(api_key, api_secret):
    pair = base64.b64encode(f"{api_key}:{api_secret}".encode()).decode()
    return Client().get(SELF, headers={"authorization": f"Basic {pair}"}).status_code


@pytest.mark.django_db
def test_what_was_made_is_used_and_ends_as_described(
    application, schema, user, system_manager, confidential, settings, record_property
):
    settings.FRAPPE_TOKENS = {
        **settings.FRAPPE_TOKENS,
        "FAILURE_LIMIT": None,
        "SELF_SERVICE": True,
        "OAUTH_DYNAMIC_REGISTRATION": True,
        "OAUTH_REGISTRATION_LIMIT": None,
        "OAUTH_REGISTRATION_SCOPES": ["read", "todos"],
    }
    described = linked(with_what_there_is(schema, ["ftk_0000000000000001"]))
    described["paths"] |= oauth_paths(confidential.client_id, SECRET, REDIRECT_URI)
    for path in EXCLUDED:
        described["paths"].pop(path, None)
    described = json.loads(json.dumps(described, default=str))
    loaded = schemathesis.openapi.from_dict(described)
    loaded.app = application

    def callers():
        return [generate_keys(system_manager, name="caller"), generate_keys(user, name="caller")]

    machine = machine_of(loaded, callers)
    machine.run(
        settings=amount(
            max_examples=6 * TIMES,
            stateful_step_count=STEPS,
            derandomize=TIMES == 1,
            database=None,
            deadline=None,
            phases=[Phase.generate],
            suppress_health_check=[*HealthCheck],
        )
    )

    record_property("requests", machine.sent)
    assert {status for _, status in machine.met} >= {200, 201, 204, 401, 404}
