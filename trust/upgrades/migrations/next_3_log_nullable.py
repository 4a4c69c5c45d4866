from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("frappe_tokens", "next_2_key_default")]

    operations = [
        migrations.AddField(
            "apirequestlog", "next_region", models.CharField(max_length=20, null=True)
        )
    ]
