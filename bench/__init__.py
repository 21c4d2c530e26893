"""Ours and its peers side by side, from interleaved runs: `make bench`.

`rows.py` defines what is measured, `subjects/` how each client does it, `server.py` answers all of them alike. Each
client runs in a process and an environment of its own; `table.py` makes one table of it all.
"""
