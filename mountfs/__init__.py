"""Mount S3 buckets as directories for machine-learning training hosts.

The package is a command, not a library: ``mountfs s3://bucket/prefix /mnt/data``. Importing it has
no side effects and pulls in neither awscrt nor boto3, so that a process which forks stays safe.
"""

from mountfs._version import __version__

__all__ = ["__version__"]
