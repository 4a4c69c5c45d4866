"""The admin: API Access on the users' pages, and the API keys themselves."""
