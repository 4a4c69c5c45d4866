import re
from datetime import timedelta

import pytest

from frappe_tokens.conf import Settings, conf
from frappe_tokens.exceptions import Reason
from frappe_tokens.rates import Rate, parse_rate

from .documentation import PAGES, page

GUIDE = page("guide")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_python_examples_compile(path):
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```", path.read_text(), re.MULTILINE | re.DOTALL)

    for indent, block in blocks:
        source = re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
        compile(source, path.name, "exec")


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_lead_to_files_that_exist(path):
    links = re.findall(r'\]\(([^)#]+)\)|src(?:set)?="([^"]+)"', path.read_text())

    for target in (first or second for first, second in links):
        assert target.startswith("https://") or (path.parent / target).is_file(), target


def test_guide_names_every_refusal_with_its_status():
    documented = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", GUIDE, re.MULTILINE)

    assert documented == [(str(reason.status), reason.code) for reason in Reason]


def test_guide_names_every_setting_with_its_default(settings, monkeypatch):
    settings.FRAPPE_TOKENS = {}
    monkeypatch.setattr("frappe_tokens.conf.scopes_of_toolkit", lambda: None)
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| `(.+?)` \|", GUIDE, re.MULTILINE))
    defaults = {
        name: getattr(conf, name) for name in dir(Settings) if name.isupper() and name[0] != "_"
    }

    assert set(documented) == set(defaults)
    for name in ("FAILURE_LIMIT", "OAUTH_REGISTRATION_LIMIT"):
        documented[name] = repr(parse_rate(eval(documented[name])))  # noqa: S307
    for name, default in documented.items():
        value = eval(default, {"timedelta": timedelta, "Rate": Rate})  # noqa: S307 - our own documentation
        assert (tuple(value) if isinstance(value, list) else value) == defaults[name], name
