from django.db import migrations, models

from . import LAST


class Migration(migrations.Migration):
    dependencies = [("frappe_tokens", LAST)]

    operations = [
        migrations.AddField("apikey", "next_note", models.CharField(max_length=40, null=True))
    ]
