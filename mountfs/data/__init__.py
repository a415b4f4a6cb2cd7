"""Object data on its way: budget, read-ahead, blocks, fills. Knows nothing about names."""
