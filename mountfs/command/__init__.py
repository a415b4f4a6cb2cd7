"""The command ``mountfs``: options, background, the object graph, status, umount."""
