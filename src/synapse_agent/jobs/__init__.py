"""Jobs: from the submitted run to the record, log and events that stay of it."""
