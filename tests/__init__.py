"""Tests of mountfs: units beside the real things, a real store and a real kernel mount."""
