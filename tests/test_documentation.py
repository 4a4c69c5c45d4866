import re
from datetime import timedelta
from pathlib import Path

import pytest

from frappe_tokens.conf import Settings, conf
from frappe_tokens.exceptions import Reason
from frappe_tokens.rates import Rate, parse_rate

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
GUIDE = (ROOT / "docs" / "guide.md").read_text()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_compile(page):
    blocks = re.findall(r"^( *)```python\n(.*?)^\1```", page.read_text(), re.MULTILINE | re.DOTALL)

    assert blocks
    for indent, block in blocks:
        source = re.sub(f"^{indent}", "", block, flags=re.MULTILINE)
        compile(source, page.name, "exec")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_to_files_that_exist(page):
    links = re.findall(r'\]\(([^)#]+)\)|src(?:set)?="([^"]+)"', page.read_text())

    for target in (first or second for first, second in links):
        assert target.startswith("https://") or (page.parent / target).is_file(), target


def test_guide_names_every_refusal_with_its_status():
    documented = re.findall(r"^\| (\d{3}) \| `(\w+)` \|", GUIDE, re.MULTILINE)

    assert documented == [(str(reason.status), reason.code) for reason in Reason]


def test_guide_names_every_setting_with_its_default(settings, monkeypatch):
    settings.FRAPPE_TOKENS = {}
    monkeypatch.setattr("frappe_tokens.conf.scopes_of_toolkit", lambda: None)
    documented = dict(re.findall(r"^\| `([A-Z_]+)` \| `(.+?)` \|", GUIDE, re.MULTILINE))
    defaults = {
        name: getattr(conf, name) for name in vars(Settings) if name.isupper() and name[0] != "_"
    }

    assert set(documented) == set(defaults)
    documented["FAILURE_LIMIT"] = repr(parse_rate(eval(documented["FAILURE_LIMIT"])))  # noqa: S307
    for name, default in documented.items():
        value = eval(default, {"timedelta": timedelta, "Rate": Rate})  # noqa: S307 - our own documentation
        assert (tuple(value) if isinstance(value, list) else value) == defaults[name], name
