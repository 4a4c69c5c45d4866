from django.urls import reverse

from testproject.todos.models import ToDo


def test_new_todo_belongs_to_its_creator(admin_client):
    fields = {"description": "Call", "status": "Open", "priority": "Low"}
    admin_client.post(reverse("admin:todos_todo_add"), fields)
    todo = ToDo.objects.get()
    assert todo.owner.username == "admin"
    assert todo.name in admin_client.get(reverse("admin:todos_todo_changelist")).content.decode()


def test_change_keeps_the_owner(admin_client, todo):
    fields = {"description": "Call back", "status": "Open", "priority": "Low"}
    admin_client.post(reverse("admin:todos_todo_change", args=[todo.name]), fields)
    todo.refresh_from_db()
    assert (str(todo), todo.description, todo.owner.username) == (todo.name, "Call back", "worker")
