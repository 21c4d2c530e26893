"""The clients that are measured: each module maps scenarios to functions from the server's URL to what is repeated.

A client is made, and has made one small call, before anything is measured. These modules run in other environments
than this project's, on their own.
"""
