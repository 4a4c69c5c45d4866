"""The documentation keeps the rules of style in docs/style, which Vale reads too."""

import re

import pytest
import yaml

from .documentation import DOCS, PAGES, ROOT, prose

RULES = {path.stem: yaml.safe_load(path.read_text()) for path in DOCS.glob("style/Plain/*.yml")}
WORDS = {
    **RULES["Usual"]["swap"],
    **dict.fromkeys(RULES["Filler"]["tokens"], "nothing"),
}


def text_of(path):
    """The sentences of a page, without code and tables."""
    text = re.sub(r"`[^`]*`|!\[[^]]*\]", "x", prose(path.read_text()))
    return re.sub(r"^( *\||#|\{\{|:::|!!!| {4}\S).*$", ".", text, flags=re.MULTILINE)


def unusual(text):
    return [
        f"{found[0]}: write {better}"
        for word, better in WORDS.items()
        for found in re.finditer(rf"\b{word}\b", text, re.IGNORECASE)
    ]


def long_sentences(text):
    sentences = re.split(r"(?<=[.!?:])\s+|\n\s*\n|^ *[-*\d]+[.]? ", text, flags=re.MULTILINE)
    limit = RULES["Long"]["max"]
    return [words for words in map(str.split, sentences) if len(words) > limit]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_page_keeps_the_rules(path):
    text = text_of(path)

    assert unusual(text) == []
    assert [" ".join(words) for words in long_sentences(text)] == []


def test_rules_find_what_breaks_them():
    assert unusual("It is done anew, simply by whoever asks.") == [
        "anew: write again",
        "whoever: write anyone who",
        "simply: write nothing",
    ]
    assert long_sentences("word " * 40 + "end. Short.")
    assert not long_sentences("word " * 39 + "end. Short.")
