from django.db import migrations

from tests.tables import create_models


class Migration(migrations.Migration):
    initial = True
    dependencies = [("auth", "0012_alter_user_first_name_max_length")]
    operations = create_models("custom_user")
