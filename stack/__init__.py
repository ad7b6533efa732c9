"""The embedded stack on one machine, and the command line."""
