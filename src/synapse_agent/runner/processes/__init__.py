"""The processes of runs from the agent's side: zygotes, limits, channels and outcomes."""
