"""From an answer's bytes to its JSON, its events or a typed error."""
