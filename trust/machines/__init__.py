"""Three app servers, whose database and cache are replicated and fail over."""
