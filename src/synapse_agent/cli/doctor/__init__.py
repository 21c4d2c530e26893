"""`doctor`: checks all that a run needs, and reports what is wrong and how to fix it."""
