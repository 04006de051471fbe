"""A user's text files and prompts: whatever they hold, as plain text or an error that names it."""
