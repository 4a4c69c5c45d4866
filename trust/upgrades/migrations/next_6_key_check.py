from django.db import migrations, models

from ..operations import AddCheckOnline


class Migration(migrations.Migration):
    dependencies = [("frappe_tokens", "next_5_log_index")]

    operations = [
        AddCheckOnline(
            "apikey",
            models.CheckConstraint(
                condition=~models.Q(next_kind=""), name="frappe_tokens_apikey_next_has_kind"
            ),
        )
    ]
