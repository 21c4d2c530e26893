"""Files that outlive a request or a run: what runs leave for their callers."""
