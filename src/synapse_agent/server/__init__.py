"""HTTP: the process, its connections, and the path of a request to its handler and back."""
