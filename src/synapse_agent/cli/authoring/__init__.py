"""For authors of plugins: start one, check it, run it at each change."""
