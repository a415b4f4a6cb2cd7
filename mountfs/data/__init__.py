"""Object data on its way: memory budget, read-ahead policy, blocks, fills. Knows nothing about names."""
