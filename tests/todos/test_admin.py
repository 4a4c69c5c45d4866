from django.urls import reverse

from testproject.todos.models import ToDo


def test_the_admin_gives_a_new_todo_to_who_adds_it(admin_client):
    sent = {"description": "Call", "status": "Open", "priority": "Low"}
    admin_client.post(reverse("admin:todos_todo_add"), sent)
    made = ToDo.objects.get()
    assert made.owner.username == "admin"
    assert made.name in admin_client.get(reverse("admin:todos_todo_changelist")).content.decode()


def test_the_admin_leaves_the_owner_as_it_is(admin_client, todo):
    sent = {"description": "Call back", "status": "Open", "priority": "Low"}
    admin_client.post(reverse("admin:todos_todo_change", args=[todo.name]), sent)
    todo.refresh_from_db()
    assert (str(todo), todo.description, todo.owner.username) == (todo.name, "Call back", "worker")
