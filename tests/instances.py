"""What a key's instance is made of, for comparisons."""

UNREAD = {
    "created_at",
    "created_by_id",
    "description",
    "disabled_by_id",
    "last_used_ip",
    "lifetime",
    "live",
    "metadata",
    "revoked_by_id",
    "revoked_reason",
    "rotated_at",
    "self_rotate",
}


def described(key):
    """All that can be seen of ``key`` and its user, column by column; deferred ones are loaded."""
    return {"key": _described(key), "user": key.user and _described(key.user)}


def deferred(key):
    """Which columns of ``key`` and of its user are not loaded yet."""
    return key.get_deferred_fields(), key.user.get_deferred_fields() if key.user else set()


def unread(model):
    """Which columns of a key are to be deferred."""
    return UNREAD & {field.attname for field in model._meta.concrete_fields}


def _described(instance):
    state = instance._state
    seen = {
        "class": instance.__class__,
        "adding": state.adding,
        "database": state.db,
        "related": sorted(state.fields_cache),
        "attributes": set(instance.__dict__) | instance.get_deferred_fields(),
    }
    names = [field.attname for field in instance._meta.concrete_fields]
    columns = {name: (type(getattr(instance, name)), getattr(instance, name)) for name in names}
    return {**seen, "columns": columns}
