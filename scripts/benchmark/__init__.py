"""The benchmark behind ``scripts/bench``: the read path against raw awscrt, s3fs and rclone."""
