"""Repositories: the agent's records, with one method for each change. All SQL is here."""
