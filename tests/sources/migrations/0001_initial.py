from django.conf import settings
from django.db import migrations

from tests.tables import create_models


class Migration(migrations.Migration):
    initial = True
    dependencies = [migrations.swappable_dependency(settings.AUTH_USER_MODEL)]
    operations = create_models("sources")
