from __future__ import annotations

from typing import Any

from django.db import migrations, router


def make_group(apps: Any, schema_editor: Any) -> None:
    """Give the group System Manager, made if need be, the permission to generate keys.

    Once, and not at every migrate: who takes the permission away later is not to find it back.
    """
    alias = schema_editor.connection.alias
    if not router.allow_migrate(alias, "auth", model_name="group"):
        return
    content_type, _ = (
        apps.get_model("contenttypes", "ContentType")
        .objects.using(alias)
        .get_or_create(app_label="frappe_tokens", model="apikey")
    )
    # Django makes a model's permissions after the last migration, and takes this one as made.
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
