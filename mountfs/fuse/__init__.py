"""The kernel's side: the FUSE wire protocol, the session and the translation to `Filesystem`."""
