"""What the pages say about emails can be run."""

import configparser
import re
import shlex

import pytest
from django.core.management import call_command, load_command_class
from django.template import engines

from frappe_tokens.keys import BATCH_SIZE
from frappe_tokens.keys.mail import MOST_EMAILS

from .documentation import ROOT, blocks, page

PAGE = page("how-to/email-users")
TEMPLATES = page("reference/pages")
MAILS = ROOT / "frappe_tokens/templates/frappe_tokens/mail"


def commands():
    return re.findall(r"manage\.py (notify_keys.*)$", PAGE, re.MULTILINE)


def test_commands_are_valid():
    assert len(commands()) == 4
    for line in commands():
        name, *arguments = shlex.split(line)
        command = load_command_class("frappe_tokens", name)
        command.create_parser("manage.py", name).parse_args(arguments)


def test_units_of_systemd_are_valid():
    service, timer = (configparser.ConfigParser() for _ in range(2))
    # Case matters to systemd.
    for unit, text in zip((service, timer), blocks(PAGE, "ini"), strict=True):
        unit.optionxform = str
        unit.read_string(text)

    assert service["Service"]["Type"] == "oneshot"
    assert service["Service"]["ExecStart"].endswith("manage.py notify_keys")
    assert (timer["Timer"]["Persistent"], timer["Install"]["WantedBy"]) == ("true", "timers.target")


def test_line_of_cron_has_five_times_and_a_command():
    (line,) = blocks(PAGE, "crontab")
    *times, command = line.split(maxsplit=5)

    assert times == ["0", "7", "*", "*", "*"]
    assert "%" not in command  # cron's own line break


@pytest.mark.django_db
def test_task_of_celery_calls_the_command(capsys):
    (call,) = re.findall(r"^    (call_command\(.+\))$", PAGE, re.MULTILINE)

    exec(call, {"call_command": call_command})  # noqa: S102 - our own documentation

    assert capsys.readouterr().out == "Sent 0 emails about 0 keys.\n"


def test_templates_and_their_variables_are_named():
    section = TEMPLATES[TEMPLATES.index("## Emails") :]
    documented = re.findall(r"`([\w]+\.(?:txt|html))`", section)
    variables = re.findall(r"^\| [^|]*\| `(\w+)` \|", section, re.MULTILINE)
    texts = {path.name: path.read_text() for path in MAILS.iterdir()}

    assert set(documented) <= set(texts)
    assert len(variables) == 11
    for name in variables:
        assert any(re.search(rf"{{[{{%][^}}]*\b{name}\b", text) for text in texts.values()), name


def test_template_of_a_project_may_choose_the_language(settings):
    (source,) = blocks(TEMPLATES, "django")
    engine = engines["django"]

    assert engine.from_string(source).render({"user": {"language": "fr"}}).strip()


def test_numbers_are_right():
    assert f"more than {MOST_EMAILS} users" in " ".join(TEMPLATES.split())
    assert f"batches of {BATCH_SIZE} users" in TEMPLATES
