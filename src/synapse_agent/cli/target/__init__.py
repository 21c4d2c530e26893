"""Which agent a command talks to, and whether it shares its files."""
