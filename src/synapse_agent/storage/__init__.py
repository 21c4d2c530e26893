"""Data on disk: the database, the data folder, trees of files, locks and small files."""
