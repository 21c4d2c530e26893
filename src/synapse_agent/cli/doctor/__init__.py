"""`doctor`: looks at all that a run needs, and reports what is wrong and how to fix it."""
