# By `make generate`. Don't edit.

"""Contains methods for accessing the API"""
