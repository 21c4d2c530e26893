"""From a method's arguments to a request that is ready to be sent."""
