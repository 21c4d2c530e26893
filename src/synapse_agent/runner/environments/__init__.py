"""Python environments for plugins: made by uv, kept, shared and evicted."""
