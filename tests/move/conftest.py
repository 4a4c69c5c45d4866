import json
import re
import shlex
import subprocess
import textwrap
from pathlib import Path

import pytest
from django.core import checks
from django.core.management import call_command
from django.test import Client

from ..documentation import page

BLOCK = re.compile(r"^( *)```(\w+)\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
MARKED = "  # remove in step 4\n"


def moves_and_returns(reader, old, scheme):
    """Both work until the old one is switched off, and again when it's back on."""
    reader.accept_both()
    assert ask(old) == (200, "ada")
    reader.execute("Generate keys")
    new = f"{scheme} {handed_out()['ada']}"
    assert (ask(old), ask(new)) == ((200, "ada"), (200, "ada"))

    reader.switch_off()
    assert (ask(old), ask(new)) == ((401, None), (200, "ada"))

    reader.accept_both()
    assert (ask(old), ask(new)) == ((200, "ada"), (200, "ada"))


def order_is_right(reader):
    """No check complains about the order of the classes."""
    reader.accept_both()

    assert {"frappe_tokens.W001", "frappe_tokens.W002"}.isdisjoint(
        message.id for message in checks.run_checks()
    )


class Reader:
    """Does what a page says, section by section, in an empty directory."""

    def __init__(self, name, settings):
        self.settings = settings
        self.sections = {
            section.partition("\n")[0]: [
                (language, textwrap.dedent(source))
                for _, language, source in BLOCK.findall(section)
            ]
            for section in page(name).split("\n## ")
        }

    def python(self, title):
        """Return the Python of a section."""
        return [source for language, source in self.section(title) if language == "python"]

    def section(self, title):
        """Return the blocks of the section whose title ends with these words."""
        (found,) = [blocks for name, blocks in self.sections.items() if name.endswith(title)]
        return found

    def execute(self, title):
        """Execute the Python of a section, and return its last namespace."""
        names = {}
        for source in self.python(title):
            names = {}
            exec(source, names)  # noqa: S102 - our own documentation
        return names

    def run(self, title, *more):
        """Run the commands of a section, those of ``manage.py`` with ``more`` arguments."""
        for language, source in self.section(title):
            for line in source.splitlines() if language == "sh" else ():
                command = shlex.split(line)
                if command[:2] == ["python", "manage.py"]:
                    call_command(*command[2:], *more)
                else:
                    subprocess.run(command, check=True)

    def accept_both(self):
        """Set the settings of the first step."""
        (source,) = self.python("Accept both")
        assert MARKED in source
        self._set(source)

    def switch_off(self):
        """Do the same without the marked line."""
        (source,) = self.python("Accept both")
        self._set("".join(line for line in source.splitlines(True) if not line.endswith(MARKED)))

    def _set(self, source):
        names = {}
        exec(source, names)  # noqa: S102 - our own documentation
        self.settings.REST_FRAMEWORK = {**self.settings.REST_FRAMEWORK, **names["REST_FRAMEWORK"]}


@pytest.fixture
def reader(request, settings, tmp_path, monkeypatch):
    """Reads the page that the test module names in ``PAGE``."""
    monkeypatch.chdir(tmp_path)
    return Reader(request.module.PAGE, settings)


def ask(header, url="/"):
    """Return the status, and the name of the user if it is 200."""
    response = Client().get(url, headers={"authorization": header})
    return (200, response.json()) if response.status_code == 200 else (response.status_code, None)


def handed_out():
    """Return the tokens in the file of the page, by user."""
    lines = [json.loads(line) for line in Path("keys.jsonl").read_text().splitlines()]
    return {line["user"]: f"{line['api_key']}:{line['api_secret']}" for line in lines}
