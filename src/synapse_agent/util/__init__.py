"""Sizes, hosts, JSON text, threads and times: small functions independent of agents."""
