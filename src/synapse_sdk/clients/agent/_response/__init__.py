"""Turn an answer's bytes into its JSON, its events or a typed error."""
