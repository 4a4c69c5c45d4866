"""The addresses that Frappe's clients call."""
