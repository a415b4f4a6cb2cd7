"""The benchmark behind ``scripts/bench``: reads and writes against raw awscrt, s3fs and rclone."""
