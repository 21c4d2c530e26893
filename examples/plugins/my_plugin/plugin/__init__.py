"""What the agent calls: one module for each action."""
