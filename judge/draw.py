"""A draw that is the same everywhere and each time: by a hash of what is drawn. Pure."""

import hashlib


def is_drawn(text: str, share: float) -> bool:
    """Whether a text is among the share of all texts that is drawn; another prefix gives another draw."""
    return int(hashlib.sha256(text.encode()).hexdigest()[:8], 16) < share * 2**32
