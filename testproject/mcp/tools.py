"""The tools of the MCP server, and what a credential needs for each."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NamedTuple

import mcp_types as types
from asgiref.sync import sync_to_async
from mcp import MCPError
from mcp.server import Server, ServerRequestContext
from rest_framework.exceptions import APIException, PermissionDenied

from testproject.todos.models import ToDo
from testproject.todos.serializers import ToDoSerializer

Run = Callable[[Any, dict[str, Any]], dict[str, Any]]


class Tool(NamedTuple):
    """A tool. Its last two fields are named as on views, and mean the same."""

    run: Run  # takes the user and the arguments
    description: types.Tool
    required_scopes: tuple[str, ...]
    accepts_read_only: bool


TOOLS: dict[str, Tool] = {}


def tool(*scopes: str, read_only: bool, **parameters: dict[str, Any]) -> Callable[[Run], Run]:
    """Register a function as a tool. Its docstring tells agents what it does."""

    def register(run: Run) -> Run:
        described = types.Tool(
            name=run.__name__,
            description=run.__doc__,
            input_schema={"type": "object", "properties": parameters},
            annotations=types.ToolAnnotations(read_only_hint=read_only),
        )
        TOOLS[run.__name__] = Tool(run, described, scopes, read_only)
        return run

    return register


@tool(read_only=True)
def whoami(user: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Say whose credential this is."""
    return {"user": user.get_username()}


@tool("todos", read_only=True)
def list_todos(user: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """List the fifty to-dos that were changed last."""
    _check_permission(user, "todos.view_todo")
    todos = ToDo.objects.select_related("owner")[:50]
    return {"todos": ToDoSerializer(todos, many=True).data}


@tool(
    "todos",
    read_only=False,
    description={"type": "string"},
    priority={"type": "string", "enum": ToDo.Priority.values},
    date={"type": "string", "format": "date"},
)
def add_todo(user: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Add a to-do. Only the description is required."""
    _check_permission(user, "todos.add_todo")
    serializer = ToDoSerializer(data=arguments)
    serializer.is_valid(raise_exception=True)
    serializer.save(owner=user)
    return dict(serializer.data)


def _check_permission(user: Any, permission: str) -> None:
    if not user.has_perm(permission):
        raise PermissionDenied(f"{user.get_username()} lacks the permission {permission}.")


async def _list_tools(
    context: ServerRequestContext, params: types.PaginatedRequestParams | None
) -> types.ListToolsResult:
    return types.ListToolsResult(tools=[tool.description for tool in TOOLS.values()])


async def _call_tool(
    context: ServerRequestContext, params: types.CallToolRequestParams
) -> types.CallToolResult:
    if params.name not in TOOLS:
        raise MCPError(types.INVALID_PARAMS, "There is no such tool.")
    # Over HTTP, there is always one. The view has put the user into it.
    request: Any = context.request
    try:
        run = TOOLS[params.name].run
        result = await sync_to_async(run)(request.user, params.arguments or {})
    except APIException as error:
        return types.CallToolResult(content=[_text(error.detail)], is_error=True)
    return types.CallToolResult(content=[_text(result)], structured_content=result)


def _text(value: Any) -> types.TextContent:
    return types.TextContent(text=json.dumps(value))


server = Server("To-do list", on_list_tools=_list_tools, on_call_tool=_call_tool)
