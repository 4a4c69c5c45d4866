"""Team leads, by each kind of authentication backend that can make someone one."""

from django.contrib.auth.backends import BaseBackend
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.models import ContentType
from guardian.shortcuts import assign_perm

PERMISSION = "frappe_tokens.generate_keys"
DJANGOS = "django.contrib.auth.backends.ModelBackend"
GUARDIANS = "guardian.backends.ObjectPermissionBackend"


class Rules(BaseBackend):
    """Like that of django-rules: it answers for one user at a time."""

    def has_perm(self, user_obj, perm, obj=None):
        is_member = isinstance(obj, User) and obj.last_name == user_obj.username
        return perm == PERMISSION and is_member


class NamingRules(Rules):
    """It also names the users."""

    def users_whose_keys_may_be_managed(self, user_obj):
        return User.objects.filter(last_name=user_obj.username)


BACKENDS = {
    "guardian": [DJANGOS, GUARDIANS],
    "guardian by group": [GUARDIANS, DJANGOS],
    "rules": [DJANGOS, f"{__name__}.Rules"],
    "rules that name": [DJANGOS, f"{__name__}.NamingRules"],
    "rules beside guardian": [GUARDIANS, f"{__name__}.NamingRules", DJANGOS],
}


def let_lead(kind, lead, *members):
    """Let ``lead`` generate keys for ``members``."""
    if kind.startswith("rules"):
        User.objects.filter(pk__in=[member.pk for member in members]).update(
            last_name=lead.username
        )
        for member in members:
            member.refresh_from_db()
        return
    Permission.objects.get_or_create(
        codename="generate_keys", content_type=ContentType.objects.get_for_model(User)
    )
    holder = lead
    if kind == "guardian by group":
        holder, _ = Group.objects.get_or_create(name=f"leads of {lead}")
        lead.groups.add(holder)
    for member in members:
        assign_perm("generate_keys", holder, member)
