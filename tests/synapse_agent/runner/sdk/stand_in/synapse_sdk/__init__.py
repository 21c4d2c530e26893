"""Replaces the public SDK in tests that need a misbehaving one."""
