"""Jobs: from the submitted run to its record, log and events."""
