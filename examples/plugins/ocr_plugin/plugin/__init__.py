"""What the agent calls."""
