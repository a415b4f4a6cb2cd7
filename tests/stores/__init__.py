"""Stores that the tests start for themselves, and the proxy that makes them slow or faulty."""
