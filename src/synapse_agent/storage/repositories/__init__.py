"""Repositories: what the agent remembers, with one method for each thing that can happen to it. Only here is SQL."""
