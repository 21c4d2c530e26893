"""Sizes, hosts, threads and times: small functions that know nothing of agents."""
