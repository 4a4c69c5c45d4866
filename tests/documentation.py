"""Reads the pages of the documentation."""

import re
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def page(name):
    return (ROOT / "docs" / f"{name}.md").read_text()


def blocks(text, language):
    """The examples in this language, of which there must be some. Those in lists are indented."""
    found = re.findall(rf"^ *```{language}\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    assert found
    return [textwrap.dedent(block) for block in found]
