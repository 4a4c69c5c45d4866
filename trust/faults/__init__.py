"""A site whose database, cache and clock are taken from it while it serves requests."""
