"""What the actions are made of."""
