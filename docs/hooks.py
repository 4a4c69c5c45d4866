"""Fills the pages of the reference from the code, while MkDocs builds them.

A line such as ``{{ http_api }}`` is replaced by what the function of that name returns, and
``{{ command list_keys }}`` by what it returns for that word.
"""

import inspect
import os
import re
import sys
from argparse import SUPPRESS
from pathlib import Path

import django

ROOT = Path(__file__).resolve().parent.parent


def on_startup(**options):
    """Set up the example project, which has every part of the app installed."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testproject.settings")
    # Help texts are as wide as the page.
    os.environ["COLUMNS"] = "100"
    sys.path.insert(0, str(ROOT))
    django.setup()


def on_page_markdown(markdown, **options):
    """Replace the lines that name a function of this module."""
    return re.sub(r"^\{\{ (\w+)(?: (\w+))? \}\}$", _filled, markdown, flags=re.M)


def _filled(found):
    name, word = found.groups()
    return FILLED[name](*filter(None, [word]))


def setting(name):
    """The heading, docstring and default of a setting."""
    from django.test import override_settings

    from frappe_tokens.conf import Settings, conf

    first, _, more = inspect.getdoc(getattr(Settings, name)).partition("\n")
    meaning, _, in_words = first.rstrip(".").rpartition(": ")
    with override_settings(FRAPPE_TOKENS={}):
        default = repr(getattr(conf, name)).replace("datetime.", "")
    if in_words.startswith(("`", "django-oauth-toolkit")):
        default = in_words  # the example project has the toolkit
    elif default == in_words:
        default = f"`{default}`"
    else:
        default = f"`{default}` ({in_words})"
    anchor = name.lower().replace("_", "-")
    heading = f"### {name} {{ #{anchor} }}"
    return f"{heading}\n\n{meaning}. {' '.join(more.split())}\n\nDefault: {default}\n"


def command(name):
    """What ``manage.py NAME --help`` says, without Django's own options."""
    from django.core.management import load_command_class

    parser = load_command_class("frappe_tokens", name).create_parser("manage.py", name)
    for action in parser._actions:
        if {*action.option_strings} & DJANGO_OPTIONS:
            action.help = SUPPRESS
    usage = parser.format_usage().removeprefix("usage: ").rstrip()
    rows = [
        f"| `{' '.join(filter(None, [*action.option_strings, _value(action)]))}` | {action.help} |"
        for action in parser._actions
        if action.help != SUPPRESS
    ]
    lines = [
        parser.description,
        "",
        "```text",
        usage,
        "```",
        "",
        "| Argument | Means |",
        "|---|---|",
    ]
    return "\n".join([*lines, *rows, ""])


def _value(action):
    """Return the placeholder of an option's value, as argparse names it."""
    if action.nargs == 0:
        return ""
    return action.metavar or f"{{{','.join(action.choices or [action.dest])}}}"


DJANGO_OPTIONS = {
    *("--help", "--version", "--verbosity", "--settings", "--pythonpath", "--traceback"),
    *("--no-color", "--force-color", "--skip-checks"),
}


def http_api():
    """The app's own operations, from the OpenAPI schema of the example project."""
    from drf_spectacular.generators import SchemaGenerator

    schema = SchemaGenerator().get_schema(request=None, public=True)
    operations = [
        _operation(method, path, operation, schema)
        for path, methods in schema["paths"].items()
        for method, operation in methods.items()
        if _is_ours(path, operation)
    ]
    return "\n".join(operations)


def _is_ours(path, operation):
    return {*operation["tags"]} <= {"keys", "method"} and "/frappe.client." not in path


def _operation(method, path, operation, schema):
    lines = [
        f"### {method.upper()} {path}",
        "",
        f"**{operation['summary']}.** {operation['description']}",
        "",
    ]
    if parameters := operation.get("parameters"):
        lines += ["| Parameter | In | Meaning |", "|---|---|---|"]
        lines += [f"| `{each['name']}` | {each['in']} | {_cell(each)} |" for each in parameters]
        lines.append("")
    content = operation.get("requestBody", {}).get("content", {})
    if reference := next(iter(content.values()), {}).get("schema", {}).get("$ref"):
        fields = schema["components"]["schemas"][reference.rpartition("/")[2]]["properties"]
        lines += ["| Field of the body | Type | Meaning |", "|---|---|---|"]
        lines += [
            f"| `{name}` | {field.get('type', '')} | {_cell(field)} |"
            for name, field in fields.items()
        ]
        lines.append("")
    lines += ["| Status | Response |", "|---|---|"]
    lines += [
        f"| {status} | {_cell(response)} |"
        for status, response in sorted(operation["responses"].items())
    ]
    return "\n".join([*lines, ""])


def _cell(described):
    return " ".join(described.get("description", "").split()).replace("|", "\\|")


FILLED = {"command": command, "http_api": http_api, "setting": setting}
