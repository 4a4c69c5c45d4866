from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("frappe_tokens", "next_3_log_nullable")]

    # Django rewrites SQLite's table for a column that may not be NULL, and for a default that isn't
    # a Value.
    operations = [
        migrations.AddField(
            "apirequestlog",
            "next_size",
            models.IntegerField(null=True, db_default=models.Value(0)),
        )
    ]
