"""Python environments for plugins: created by uv, cached, shared and evicted."""
