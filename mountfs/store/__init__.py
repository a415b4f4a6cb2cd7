"""The object store: one protocol, its S3 implementation and an in-memory one."""
