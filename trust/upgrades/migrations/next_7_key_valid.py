from django.db import migrations

from ..operations import ValidateCheck


class Migration(migrations.Migration):
    dependencies = [("frappe_tokens", "next_6_key_check")]

    operations = [ValidateCheck("apikey", "frappe_tokens_apikey_next_has_kind")]
