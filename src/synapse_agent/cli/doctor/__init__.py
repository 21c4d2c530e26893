"""`doctor`: looks at all that a run needs, and says what is wrong and how to fix it."""
