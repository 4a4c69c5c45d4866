"""Reads pages by a parser: Django's own for tests."""

from django.test.html import Element, parse_html


def elements(page, name=None, **attributes):
    """All elements of a page, or below an element, with this name and these attributes.

    ``class_`` is one of the classes, and ``data_frappe`` is the attribute ``data-frappe``. The
    value True means any value.
    """
    root = parse_html(page) if isinstance(page, str) else page
    found = []
    for child in root.children:
        if isinstance(child, Element):
            if name in {None, child.name} and _has(child, attributes):
                found.append(child)
            found += elements(child, name, **attributes)
    return found


def text(element):
    """The text of an element and of those in it, with single spaces."""
    if isinstance(element, str):
        return element
    return " ".join(" ".join(map(text, element.children)).split())


def attribute(element, name):
    """The value of an attribute; None if the element doesn't have it."""
    return dict(element.attributes).get(name)


def _has(element, attributes):
    for name, wanted in attributes.items():
        value = attribute(element, name.rstrip("_").replace("_", "-"))
        words = (value or "").split() if name == "class_" else [value]
        if value is None or (wanted is not True and wanted not in words):
            return False
    return True
