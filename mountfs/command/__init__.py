"""The command ``mountfs``: options, the way into the background, the object graph, status, umount."""
