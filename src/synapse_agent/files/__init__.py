"""Files that outlive a request or a run: outputs of runs, and uploads of callers."""
