"""A user model as unlike Django's as projects have: an email address, a UUID, and two tables."""

import uuid

from django.contrib.auth.base_user import AbstractBaseUser, BaseUserManager
from django.contrib.auth.models import Permission, PermissionsMixin
from django.db import models


class Account(AbstractBaseUser, PermissionsMixin):
    """The table that the user model extends."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    email = models.EmailField(unique=True)
    is_active = models.BooleanField(default=True)
    is_staff = models.BooleanField(default=False)

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"

    def __str__(self):
        return self.email


class PersonManager(BaseUserManager["Person"]):
    def create_user(self, email, password, **fields):
        person = Person(email=self.normalize_email(email), **fields)
        person.set_password(password)
        person.save()
        return person


class Person(Account):
    nickname = models.CharField(max_length=100, blank=True)
    preferences = models.JSONField(default=dict)
    birthday = models.DateField(null=True)

    objects = PersonManager()


class Employee(Person):
    """What extends the user model, and has another primary key."""

    number = models.CharField(max_length=10, primary_key=True)
    person_ptr = models.OneToOneField(Person, on_delete=models.CASCADE, parent_link=True)


class Role(models.Model):
    """What grants permissions in a project's own way."""

    permissions = models.ManyToManyField(Permission)

    def __str__(self):
        return f"Role {self.pk}"


class Note(models.Model):
    """What has nothing to do with users, but lives in the same app."""

    class Meta:
        permissions = [("pin_note", "Can pin notes")]

    def __str__(self):
        return f"Note {self.pk}"
