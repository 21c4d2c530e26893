"""What the agent serves to browsers: its page, made from `web/`, and the contract with its reference page."""
