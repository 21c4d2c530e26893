"""Sizes, hosts, JSON text, threads and times: small functions that know nothing of agents."""
