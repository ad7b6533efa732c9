"""Which language a text is in: 97 of them, by byte n-grams. Pure; the model comes in a wheel.

Source: Lui and Baldwin (2012), langid.py, in the maintained fork py3langid.
"""

from functools import cache

from py3langid.langid import MODEL_FILE, LanguageIdentifier

# Of the 328 example instructions, in eight languages and cut to 30 characters, hardly any above it is wrong.
_SURE = 0.3
_CHARS = 2000


def detect(text: str) -> str | None:
    """The ISO 639-1 code; None for a text too short or too mixed to be sure of."""
    code, probability = guess(text[:_CHARS])
    return code if probability >= _SURE and len(code) == 2 else None


def guess(text: str) -> tuple[str, float]:
    """The likeliest code and its probability, whatever that is."""
    code, probability = _identifier().classify(text)
    return str(code), float(probability)


@cache
def _identifier() -> LanguageIdentifier:
    # 1.5 s and 130 MB when it is first asked. With shares: the module's own functions give log-probabilities
    # without a scale.
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
