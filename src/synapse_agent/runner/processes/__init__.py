"""The processes of runs, seen from the agent: zygotes, limits, channels and how a run ended."""
