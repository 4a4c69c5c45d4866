"""The to-do list for AI agents: a server of the Model Context Protocol at ``api/mcp``.

It uses the protocol's own SDK inside a view of Django REST framework, because django-mcp-server
(0.5.7, of October 2025) can't be imported with version 2 of the SDK.
"""
