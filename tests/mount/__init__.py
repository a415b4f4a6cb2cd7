"""What applications see: the command, a real kernel mount, and a real store behind it."""
