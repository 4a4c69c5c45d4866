from django.db import migrations, models

from ..operations import AddIndexOnline


class Migration(migrations.Migration):
    atomic = False

    dependencies = [("frappe_tokens", "next_4_log_default")]

    operations = [
        AddIndexOnline(
            "apirequestlog", models.Index(fields=["source", "at"], name="frappe_tokens_log_next")
        )
    ]
