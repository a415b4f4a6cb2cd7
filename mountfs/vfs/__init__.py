"""What a file system means: the semantics of every operation. Knows neither FUSE nor S3."""
