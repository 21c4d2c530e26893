"""Tools for plugin authors: create a plugin, check it, run it at each change, upload it."""
