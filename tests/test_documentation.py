"""What the pages of the documentation say of the code, all of it and only once."""

import re
import shutil
import subprocess
import sys
from collections import Counter
from datetime import timedelta
from importlib import import_module

import pytest

from frappe_tokens.conf import Settings, conf
from frappe_tokens.exceptions import Reason
from frappe_tokens.rates import Rate, parse_rate

from .documentation import DOCS, PAGES, ROOT, page, words

TEXT = {path: path.read_text() for path in PAGES}
LONGEST_PAGE = 1_200
LONGEST_SITE = 14_000


def lines_of(pattern):
    """How often each name is in a line of this form, on all pages together."""
    return Counter(re.findall(pattern, "\n".join(TEXT.values()), re.MULTILINE))


def differing(documented, names):
    """What keeps each of these names from being there once, for a message."""
    missing = [f"{name} is missing" for name in sorted(names - documented.keys())]
    unknown = [f"{name} doesn't exist" for name in sorted(documented.keys() - names)]
    repeated = [f"{name} is repeated" for name in sorted(names) if documented[name] > 1]
    return ", ".join(missing + unknown + repeated)


def name_of(path):
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", PAGES, ids=name_of)
def test_python_examples_compile(path):
    for indent, block in re.findall(
        r"^( *)```python\n(.*?)^\1```", TEXT[path], re.MULTILINE | re.DOTALL
    ):
        compile(re.sub(f"^{indent}", "", block, flags=re.MULTILINE), path.name, "exec")


def test_links_of_the_readme_lead_to_files():
    links = re.findall(r'\]\(([^)#]+)\)|src(?:set)?="([^"]+)"', (ROOT / "README.md").read_text())

    assert links
    for target in (first or second for first, second in links):
        assert target.startswith("https://") or (ROOT / target).is_file(), target


def test_links_of_the_readme_are_absolute_in_a_package(tmp_path):
    readme = tmp_path / "README.md"
    shutil.copy(ROOT / "README.md", readme)
    before = len(re.findall(r'\]\(|src(?:set)?="', readme.read_text()))

    command = [sys.executable, ROOT / ".ci/absolute-links", "https://example.com/app", "v1.2.3"]
    subprocess.run([*command, readme], check=True, timeout=60)

    links = re.findall(r'\]\(([^)]+)\)|src(?:set)?="([^"]+)"', readme.read_text())
    targets = [first or second for first, second in links]
    assert len(targets) == before
    assert all(target.startswith("https://example.com/app/") for target in targets)
    pictures = [target for target in targets if target.endswith(".png")]
    assert pictures
    assert all("/raw/v1.2.3/docs/images/" in picture for picture in pictures)


def test_each_refusal_is_in_the_table_in_the_order_of_the_decision():
    documented = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", page("reference/refusals"), re.MULTILINE)

    assert documented == [(str(reason.status), reason.code) for reason in Reason]


def test_each_setting_is_documented_once():
    names = {name for name in dir(Settings) if name.isupper() and name[0] != "_"}

    wrong = differing(lines_of(r"^\{\{ setting (\w+) \}\}$"), names)
    assert not wrong, f"Write {{{{ setting NAME }}}} once in docs/reference/settings.md: {wrong}"


DEFAULTS_IN_WORDS = {
    **{word: [None] for word in ("unlimited", "never", "reports are off")},
    **{word: [timedelta(minutes=1)] for word in ("a minute", "once a minute")},
    "none": [None, "", ()],
    "zero": [timedelta(0)],
    "60": [60],
    "True": [True],
    "False": [False],
    "DRF's setting, else None": [None],
    "django-oauth-toolkit's, else any": [None],
}


@pytest.mark.parametrize(
    "name", [name for name in dir(Settings) if name.isupper() and name[0] != "_"]
)
def test_docstring_of_a_setting_ends_with_its_default(settings, monkeypatch, name):
    settings.FRAPPE_TOKENS = {}
    monkeypatch.setattr("frappe_tokens.conf.scopes_of_toolkit", lambda: None)
    first_line = getattr(Settings, name).__doc__.splitlines()[0]
    (documented,) = re.findall(r": (``[^`]+``|[^:`]+)\.?$", first_line.rstrip("."))
    default = getattr(conf, name)

    if isinstance(default, Rate):
        assert parse_rate(eval(documented.strip("`"))) == default  # noqa: S307
    elif documented.startswith("``"):
        assert eval(documented.strip("`")) == default  # noqa: S307 - our own docstring
    else:
        assert default in DEFAULTS_IN_WORDS[documented]


def test_each_command_is_documented_once():
    folder = ROOT / "frappe_tokens" / "management" / "commands"
    names = {path.stem for path in folder.glob("[a-z]*.py")}

    wrong = differing(lines_of(r"^\{\{ command (\w+) \}\}$"), names)
    assert not wrong, f"Write {{{{ command NAME }}}} once in docs/reference/commands.md: {wrong}"


def test_each_check_is_documented_once():
    sources = "".join(file.read_text() for file in (ROOT / "frappe_tokens/checks").glob("*.py"))
    sources += (ROOT / "frappe_tokens/contrib/oauth2/registration_check.py").read_text()
    names = {*re.findall(r'"(frappe_tokens\.[A-Z]\d{3})"', sources)}

    assert names <= lines_of(r"^\| `(frappe_tokens\.[A-Z]\d{3})` \|").keys()
    assert {*lines_of(r"^\| `(frappe_tokens\.[A-Z]\d{3})` \|").values()} == {1}


def test_no_page_is_long():
    guides = [path for path in PAGES if (DOCS / "reference") not in path.parents]
    length = {name_of(path): len(words(TEXT[path])) for path in guides}

    assert {name: count for name, count in length.items() if count > LONGEST_PAGE} == {}
    assert min(length.values()) > 50
    assert sum(length.values()) <= LONGEST_SITE


PUBLIC = [
    *("authentication", "decorators", "exceptions", "keys", "middleware", "permissions", "signals"),
    *("request_log", "test", "throttling", "verification", "account", "asgi", "base_models"),
    *("contrib.channels", "contrib.ninja", "contrib.oauth2", "contrib.redis_streams", "admin"),
]
# What the modules above share with each other, and not with projects.
INTERNAL = {
    "decorators": "check_scopes",
    "keys": """
        BATCH_SIZE BEYOND_RIGHTS DueNotices GRACE_MAX ImportedPair Notice Options Plan Problem
        RESTRICTED UNKNOWN UNUSED address_of as_json check_as_new check_manager check_number
        check_reach check_target clean_changes clean_description clean_expiry clean_grace
        clean_metadata clean_name connect_deletion connect_replays csv_row default_expiry
        expiring_within find_user find_visible_user is_application_allowed led_by
        lock_active_users lock_rows lock_users locked_key outside_atomic_requests plan_for
        plan_for_row prune_notices send_notices shown_fields transaction_for version_for_new_key
        withdraw_application
    """,
    "request_log": """
        DAYS DAYS_MAX Day NullSink SAMPLE current_sink delete_in_batches latest_of old_rows
        requests_of_key requests_of_user sources_of usage_of
    """,
    "throttling": "Budget budget_of",
    "verification": """
        AccessToken DEFAULT_SOURCE RETRY_AFTER_SECONDS RequestInfo RoutedView are_known
        check_failures count_failure increment may_be_browser network_of ninja_operations
        parse_header refusal_response register_access_tokens report_failure retry_after
        routed_views run_in_thread secret_label unclaimed
    """,
    "contrib.ninja": "AuthenticationRefused",
    "admin": "add_api_access",
}


def public_names(module):
    """Its ``__all__``, else what it defines itself."""
    if hasattr(module, "__all__"):
        return set(module.__all__)
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", None) == module.__name__
    }


@pytest.mark.parametrize("name", PUBLIC)
def test_public_names_are_documented(name):
    module = import_module(f"frappe_tokens.{name}")
    documented = "\n".join(TEXT.values())

    missing = {each for each in public_names(module) if not re.search(rf"\b{each}\b", documented)}
    if f"::: frappe_tokens.{name}\n\n" in documented:  # with all of its names
        missing = set()

    assert missing == {*INTERNAL.get(name, "").split()}
