"""Files for browsers: the agent's page, built from `web/`, and the contract with its reference page."""
