from django.conf import settings

# They need a process with this directory's settings; tests/test_custom_user_model.py starts one.
collect_ignore = [] if settings.AUTH_USER_MODEL == "custom_user.Person" else ["cases"]
