"""Reads the pages of the documentation."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))


def page(name):
    return (DOCS / f"{name}.md").read_text()


def blocks(text, language):
    """The examples in this language, of which there must be some. Those in lists are indented."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    assert found
    return [textwrap.dedent(block) for block in found]


def prose(text):
    """What people read of a page: no examples, no targets of links."""
    text = re.sub(r"^ *```.*?^ *```", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"\]\([^)]*\)(\{[^}]*\})?", "]", text)


def words(text):
    """The words of a page, for which the borders of tables don't count."""
    return [word for word in prose(text).split() if any(map(str.isalnum, word))]
