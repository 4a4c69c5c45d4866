from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("frappe_tokens", "next_1_key_nullable")]

    # The version before doesn't know the column. Its INSERTs need the default.
    operations = [
        migrations.AddField(
            "apikey", "next_kind", models.CharField(max_length=20, db_default="plain")
        )
    ]
