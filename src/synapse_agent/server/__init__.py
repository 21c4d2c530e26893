"""HTTP: the process, its connections, and the way from a request to a handler and back."""
