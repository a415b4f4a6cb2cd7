"""The namespace: inodes, listings and their freshness. Knows nothing about object data."""
