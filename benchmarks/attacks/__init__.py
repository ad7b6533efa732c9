"""Attacks on a served judge: texts that try to win without being the better answer."""
