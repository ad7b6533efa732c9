"""Which texts are alike, in any language: TF-IDF over character n-grams. Pure."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.neighbors import NearestNeighbors


def nearest(texts: Sequence[str], k: int) -> list[list[int]]:
    """Indexes of the k most similar other texts of each text, most similar first."""
    if len(texts) < 2:
        return [[] for _ in texts]
    vectors = _vectorizer().fit_transform(texts)
    index = NearestNeighbors(n_neighbors=min(k + 1, len(texts)), metric="cosine").fit(vectors)
    found = index.kneighbors(vectors, return_distance=False)
    return [[int(j) for j in row if j != i][:k] for i, row in enumerate(found)]


def near_duplicates(texts: Sequence[str], threshold: float = 0.9) -> set[int]:
    """Indexes of texts that are nearly the same as an earlier one (cosine of at least `threshold`)."""
    if len(texts) < 2:
        return set()
    vectors = _vectorizer().fit_transform(texts)
    dropped: set[int] = set()
    for i, found in enumerate(_within(vectors, vectors, threshold)):
        if any(j < i and j not in dropped for j in found):
            dropped.add(i)
    return dropped


def near_any(texts: Sequence[str], others: Sequence[str], threshold: float = 0.8) -> set[int]:
    """Indexes of texts that are nearly the same as one of the others."""
    if not texts or not others:
        return set()
    vectorizer = _vectorizer().fit([*texts, *others])
    found = _within(vectorizer.transform(others), vectorizer.transform(texts), threshold)
    return {i for i, row in enumerate(found) if len(row)}


def _vectorizer() -> TfidfVectorizer:
    # Character n-grams need no word boundaries, so they serve Chinese and Japanese too.
    return TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True)


def _within(known: Any, queries: Any, threshold: float) -> list[np.ndarray[Any, Any]]:
    index = NearestNeighbors(radius=1 - threshold, metric="cosine").fit(known)
    return list(index.radius_neighbors(queries, return_distance=False))
