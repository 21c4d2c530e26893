"""Turn a method's arguments into a request that is ready to send."""
