from __future__ import annotations

from typing import Any

from django.db import migrations, router


def make_group(apps: Any, schema_editor: Any) -> None:
    """Create the group System Manager, and give it the permission to generate keys.

    Only once: if an administrator takes the permission away, a later migrate doesn't restore it.
    """
    alias = schema_editor.connection.alias
    if not router.allow_migrate(alias, "auth", model_name="group"):
        return
    content_type, _ = (
        apps.get_model("contenttypes", "ContentType")
        .objects.using(alias)
        .get_or_create(app_label="frappe_tokens", model="apikey")
    )
    # Django creates permissions after the last migration, and then finds this one.
    permission, _ = (
        apps.get_model("auth", "Permission")
        .objects.using(alias)
        .get_or_create(
            content_type=content_type,
            codename="generate_keys",
            defaults={"name": "Can generate API keys"},
        )
    )
    group, _ = (
        apps.get_model("auth", "Group").objects.using(alias).get_or_create(name="System Manager")
    )
    group.permissions.add(permission)


class Migration(migrations.Migration):
    dependencies = [
        ("frappe_tokens", "0001_initial"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(make_group, migrations.RunPython.noop)]
