"""PyTorch datasets and checkpoint helpers on top of a mounted path (to come).

Installed as ``mountfs.datasets``. Imports nothing of the mount itself, and never awscrt or boto3: a
process that forks workers must be able to import it.
"""

__all__: list[str] = []
