"""Send requests: retry, paginate, follow jobs, and run the generated functions."""
