"""What the pages about monitoring show is executed, with the packages that they name."""

import io
import json
import logging
import logging.config
import re
import sys
from datetime import datetime
from types import ModuleType

import prometheus_client
import pytest
from django.test import Client
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from frappe_tokens import audit, signals
from frappe_tokens.crypto import Secret
from frappe_tokens.exceptions import Reason
from frappe_tokens.keys import GeneratedKeys, generate_keys, revoke
from frappe_tokens.models import ACCEPTED

from .client import WHO, with_wrong_secret
from .conftest import token_header
from .documentation import blocks, page

PAGE = page("reference/log-lines") + page("how-to/monitor")

SIGNALS = [
    signals.authentication_failed,
    signals.authentication_succeeded,
    signals.key_revoked,
    signals.keys_generated,
]


def block(language, begins=""):
    """The one example of the page in this language that begins so."""
    (found,) = [found for found in blocks(PAGE, language) if found.startswith(begins)]
    return found


@pytest.fixture
def run(monkeypatch):
    """Executes the Python example for the file of this name, as a module of ``myproject``."""
    before = [list(signal.receivers) for signal in SIGNALS]
    package = ModuleType("myproject")
    monkeypatch.setitem(sys.modules, "myproject", package)

    def execute(name):
        module = ModuleType(f"myproject.{name}")
        begins = "# settings.py\n" if name == "settings" else f"# myproject/{name}.py\n"
        exec(block("python", begins), vars(module))  # noqa: S102 - our own documentation
        setattr(package, name, module)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return module

    yield execute
    for signal, receivers in zip(SIGNALS, before, strict=True):
        signal.receivers[:] = receivers
        signal.sender_receivers_cache.clear()


def ask(keys, path=WHO):
    headers = {"authorization": token_header(keys)}
    return Client(REMOTE_ADDR="192.0.2.7").get(path, headers=headers)


def make_use_of_keys(user):
    """Two secrets, a request that is accepted, three that are refused, and a revocation."""
    generate_keys(user)
    keys = generate_keys(user)
    ask(keys)
    ask(with_wrong_secret(keys))
    ask(with_wrong_secret(keys))
    revoke(keys.instance)
    ask(keys)


# The log lines


@pytest.fixture
def output(run, monkeypatch):
    """What the example's handler writes."""
    stderr = io.StringIO()
    logger = logging.getLogger("frappe_tokens")
    before = (logger.level, logger.propagate, list(logger.handlers))
    run("json_lines")
    # The handler takes the stream when it is made.
    monkeypatch.setattr(sys, "stderr", stderr)
    logging.config.dictConfig(run("settings").LOGGING)
    yield stderr
    logger.level, logger.propagate, logger.handlers[:] = before
    logging.getLogger().manager._clear_cache()


@pytest.mark.django_db(transaction=True)
def test_each_event_is_one_line_of_json(user, output):
    make_use_of_keys(user)
    lines = [json.loads(line) for line in output.getvalue().splitlines()]
    assert [line["event"] for line in lines] == [
        *["keys_generated"] * 2,
        *["request_refused"] * 2,
        *["key_revoked", "request_refused"],
    ]
    assert [line["rotated"] for line in lines[:2]] == [False, True]
    for line in lines:
        assert (line["logger"], line["level"]) == ("frappe_tokens", "INFO")
        assert datetime.fromisoformat(line["at"]).tzinfo is not None
        always = {"at", "level", "logger", "message", "event"}
        assert set(line) == always | set(audit.FIELDS[line["event"]])
    assert lines[-1]["user"] == "ada"


@pytest.mark.django_db
def test_shown_line_is_such_a_line(keys, output):
    shown = json.loads(block("json"))
    keys.instance.api_key = shown["api_key"]
    keys.instance.save()
    ask(GeneratedKeys(shown["api_key"], Secret("wrong"), keys.instance), shown["path"])
    (line,) = output.getvalue().splitlines()
    assert {**json.loads(line), "at": shown["at"]} == shown
    assert list(json.loads(line)) == list(shown)


def test_other_lines_of_the_app_are_json_too(output):
    error = ValueError("x")
    logging.getLogger("frappe_tokens.verification").error("Trouble: %s.", "much", exc_info=error)

    said = json.loads(output.getvalue())
    assert said["message"] == "Trouble: much."
    assert said["exception"].endswith("ValueError: x")


def test_every_field_is_explained():
    table = PAGE[PAGE.index("| `event` | Field |") :]
    documented = {}
    for row in table[: table.index("\n\n")].splitlines()[2:]:
        _, event, fields, _ = row.split("|", 3)
        name = event.strip(" `") or list(documented)[-1]
        documented.setdefault(name, []).extend(re.findall(r"`(\w+)`", fields))
    assert documented == {event: list(fields) for event, fields in audit.FIELDS.items()}


@pytest.mark.django_db(transaction=True)
def test_fail2ban_finds_the_address_of_failed_attempts_alone(user, output):
    (pattern,) = re.findall(r"^failregex = (.*)$", block("ini"), re.MULTILINE)
    found = re.compile(pattern.replace("<HOST>", r"(?P<host>[0-9a-f:.]+)"))
    make_use_of_keys(user)
    forged = '/api/resource/ToDo/"event": "request_refused", "code": "invalid_credentials", "ip": "'
    Client(REMOTE_ADDR="192.0.2.9").get(
        f'{forged}203.0.113.1"', headers={"authorization": "token nonsense"}
    )
    matches = [found.search(line) for line in output.getvalue().splitlines()]
    hosts = [match["host"] for match in matches if match]
    assert len(matches) == 7
    assert hosts == ["192.0.2.7", "192.0.2.7"]


# Metrics

COUNTED = {
    ("accepted",): 1,
    ("invalid_credentials",): 2,
    ("key_revoked",): 1,
    ("generated",): 1,
    ("rotated",): 1,
    ("revoked",): 1,
}


@pytest.mark.django_db(transaction=True)
def test_prometheus_counts(user, run):
    example = run("prometheus_metrics")
    try:
        make_use_of_keys(user)
        exposed = prometheus_client.generate_latest().decode()
    finally:
        prometheus_client.REGISTRY.unregister(example.REQUESTS)
        prometheus_client.REGISTRY.unregister(example.KEYS)
    samples = re.findall(r'^(frappe_tokens_\w+_total)\{\w+="(\w+)"\} ([\d.]+)$', exposed, re.M)
    assert {(label,): float(value) for _name, label, value in samples} == COUNTED
    # What the alerts ask for.
    rules = block("yaml")
    assert {name for name, *_ in samples} >= set(re.findall(r"frappe_tokens_\w+_total", rules))
    codes = {
        code for text in re.findall(r'outcome=~?"([\w|]+)"', rules) for code in text.split("|")
    }
    assert codes
    assert codes <= {reason.code for reason in Reason}


def test_sentry_gets_no_bodies_and_no_variables_of_oauth(run):
    without_secrets = run("reports").without_secrets

    def event(url):
        frames = {"frames": [{"function": "post", "vars": {"code": "swordfish"}}]}
        values = [{"stacktrace": frames}, {"stacktrace": None}, {}]
        return {
            "request": {"url": url, "data": {"code": "swordfish"}},
            "exception": {"values": values},
            "threads": {"values": [{"stacktrace": frames}]},
        }

    methods = "https://example.com/api/method/"
    cleaned = without_secrets(event(f"{methods}frappe.integrations.oauth2.get_token"), {})
    assert "swordfish" not in str(cleaned)
    assert cleaned["exception"]["values"][0]["stacktrace"]["frames"] == [{"function": "post"}]
    other = without_secrets(event(f"{methods}frappe.auth.get_logged_user"), {})
    assert "data" not in other["request"]
    assert "swordfish" in str(other["exception"])
    assert without_secrets({"message": "of a command"}, {}) == {"message": "of a command"}


@pytest.mark.django_db(transaction=True)
def test_opentelemetry_counts(user, run):
    reader = InMemoryMetricReader()
    provider = MeterProvider([reader], shutdown_on_exit=False)
    # Once in a process; no other test needs one.
    metrics.set_meter_provider(provider)
    run("otel_metrics")
    make_use_of_keys(user)
    data = reader.get_metrics_data()
    counted = {
        tuple(point.attributes.values()): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert counted == COUNTED
    provider.shutdown()


def test_numbers_and_names_are_right():
    assert "there are fourteen" in PAGE
    assert len({ACCEPTED, *(reason.code for reason in Reason)}) == 14
    named = set(re.findall(r"`(frappe_tokens\.[a-z_]+)`", PAGE))
    assert len(named) > 4
    assert named <= set(logging.Logger.manager.loggerDict)
