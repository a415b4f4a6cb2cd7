"""The jobs, one a file: each uploads what it needs, measures, and returns its rows of the table."""
