# By `make generate`. Don't edit.

"""Contains endpoint functions for accessing the API"""
