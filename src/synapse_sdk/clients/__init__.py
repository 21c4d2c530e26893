"""Clients of Synapse services."""
