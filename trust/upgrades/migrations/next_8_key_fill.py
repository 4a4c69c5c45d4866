import time
from typing import Any

from django.db import migrations
from django.db.models import F

BATCH = 1000
# So that writers on SQLite, which look again every now and then, get a turn.
PAUSE = 0.005  # s


def fill(apps: Any, schema_editor: Any) -> None:
    """Fill the column in batches. Rows that are filled already stay, so it can be run again."""
    alias = schema_editor.connection.alias
    keys = apps.get_model("frappe_tokens", "ApiKey")._base_manager.using(alias)
    last = 0
    while True:
        missing = keys.filter(pk__gt=last, next_note=None).order_by("pk")
        batch = list(missing.values_list("pk", flat=True)[:BATCH])
        if not batch:
            return
        keys.filter(pk__gt=last, pk__lte=batch[-1], next_note=None).update(next_note=F("next_kind"))
        last = batch[-1]
        time.sleep(PAUSE)


class Migration(migrations.Migration):
    # Each batch is a transaction of its own.
    atomic = False

    dependencies = [("frappe_tokens", "next_7_key_valid")]

    operations = [migrations.RunPython(fill, migrations.RunPython.noop)]
