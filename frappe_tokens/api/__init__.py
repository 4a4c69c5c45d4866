"""The URLs that Frappe's clients call, and API keys over REST."""
