"""`doctor`: check all that a run needs, and report what is wrong and how to fix it."""
