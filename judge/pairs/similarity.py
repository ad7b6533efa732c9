"""Which texts are alike, in any language, by their character n-grams. Pure."""

import math
from collections import Counter
from collections.abc import Sequence

from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors

from judge.comparison import fold

# Mean letters of a word, above which a text is taken for one without spaces between words.
_LONG_WORD = 12


def nearest(texts: Sequence[str], k: int) -> list[list[int]]:
    """Indexes of the k most similar other texts of each text, most similar first."""
    if len(texts) < 2:
        return [[] for _ in texts]
    vectors = _vectorizer().fit_transform(texts)
    index = NearestNeighbors(n_neighbors=min(k + 1, len(texts)), metric="cosine").fit(vectors)
    found = index.kneighbors(vectors, return_distance=False)
    return [[int(j) for j in row if j != i][:k] for i, row in enumerate(found)]


def likeness(one: str, another: str) -> float:
    """How alike two texts are, 0 to 1, whatever the corpus: the cosine of their character n-grams' counts.

    Trigrams, or bigrams where words are not spaced. Unrelated English requests are mostly below 0.25.
    """
    texts = fold(one), fold(another)
    size = 2 if any(len(text) > _LONG_WORD * (text.count(" ") + 1) for text in texts) else 3
    first, second = (Counter(text[i : i + size] for i in range(len(text) - size + 1)) for text in texts)
    common = sum(count * second[gram] for gram, count in first.items())
    norm = math.sqrt(sum(n * n for n in first.values()) * sum(n * n for n in second.values()))
    return common / norm if norm else float(texts[0] == texts[1])


def _vectorizer() -> TfidfVectorizer:
    # Character n-grams need no word boundaries, so they serve Chinese and Japanese too.
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)
