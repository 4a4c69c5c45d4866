"""The first test of each process: what all others share is set up for it."""


def test_database(db):
    from django.contrib.auth.models import Group

    assert Group.objects.count() >= 0
