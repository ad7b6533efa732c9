"""Which scenario an instruction belongs to: TF-IDF features and a linear model.

Works out of the box from Judgesmith's own example instructions (`data/scenario_examples.toml`), and better
once it is fitted on labeled instructions of one's own. What it reaches is measured by
`benchmarks/scenarios.py`; see docs/scenarios.md.
"""

import json
import tomllib
import zlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from scipy.sparse import hstack
from scipy.special import softmax
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.svm import LinearSVC

from judge.errors import BadModel, Fault, InvalidInput
from judge.prompts.rubrics import DEFAULT, scenario, scenarios

CHARACTERS = 1500
OPENING = 160
# Found by cross-validation: turns margins into probabilities whose mean is the accuracy.
SHARPNESS = 7.0
THRESHOLD = 0.15

# What reading a file that `save` did not write may end in.
_UNREADABLE = (OSError, EOFError, ValueError, KeyError, TypeError, AttributeError, BadZipFile, zlib.error)
Array = np.ndarray[Any, Any]


class ScenarioClassifier:
    """Features are the words of the whole text and the character n-grams of its opening.

    The opening mostly carries the request, and its character n-grams serve languages without word boundaries.
    """

    def __init__(
        self,
        labels: Sequence[str],
        vectorizers: tuple[TfidfVectorizer, TfidfVectorizer],
        weights: Array,
        offsets: Array,
    ) -> None:
        """`weights`: features × labels; `offsets`: one a label."""
        self.labels = tuple(labels)
        self._vectorizers = vectorizers
        # In this order and with the type of the features: scipy would copy all of it for each text otherwise.
        self._weights = np.ascontiguousarray(weights)
        self._offsets = offsets

    @classmethod
    def fit(cls, texts: Sequence[str], labels: Sequence[str]) -> "ScenarioClassifier":
        """Learn from labeled instructions; the same ones always give the same classifier.

        Raises:
            InvalidInput: a label is no scenario, or there are fewer than two different ones.
        """
        known = sorted({scenario(label).name for label in labels})
        if len(known) < 2:
            raise InvalidInput(Fault("labels", "at least two different scenarios are needed"))
        vectorizers = _words(), _openings()
        shortened = [shorten(text) for text in texts]
        features = hstack([vectorizer.fit_transform(shortened) for vectorizer in vectorizers], format="csr")
        # Scenarios differ much in how often they come; balanced, the rare ones count as well.
        model = LinearSVC(class_weight="balanced", random_state=0).fit(features, labels)
        weights, offsets = model.coef_.T.astype(np.float32), model.intercept_.astype(np.float32)
        if len(known) == 2:  # then scikit-learn has one column, for the second label
            weights, offsets = np.hstack([-weights, weights]), np.concatenate([-offsets, offsets])
        return cls(known, vectorizers, weights, offsets)

    def predict(self, text: str, threshold: float = THRESHOLD) -> tuple[str, float]:
        """The likeliest scenario and its probability; `default` where that is below the threshold."""
        return self.predict_all([text], threshold)[0]

    def predict_all(self, texts: Sequence[str], threshold: float = THRESHOLD) -> list[tuple[str, float]]:
        """`predict` for many texts at once."""
        shortened = [shorten(text) for text in texts]
        features = hstack([vectorizer.transform(shortened) for vectorizer in self._vectorizers], format="csr")
        shares = softmax(SHARPNESS * (features @ self._weights + self._offsets), axis=1)
        best = shares.argmax(axis=1)
        found = [(self.labels[index], float(row[index])) for index, row in zip(best, shares, strict=True)]
        return [(label if share >= threshold else DEFAULT, share) for label, share in found]

    def save(self, folder: Path) -> None:
        """Write `classifier.json` and `classifier.npz`; neither can carry code."""
        folder.mkdir(parents=True, exist_ok=True)
        terms = [list(vectorizer.get_feature_names_out()) for vectorizer in self._vectorizers]
        content = {"labels": self.labels, "words": terms[0], "openings": terms[1]}
        (folder / "classifier.json").write_text(json.dumps(content), encoding="utf-8")
        words, openings = (vectorizer.idf_ for vectorizer in self._vectorizers)
        arrays = {"weights": self._weights, "offsets": self._offsets, "words": words, "openings": openings}
        np.savez_compressed(folder / "classifier.npz", **arrays)

    @classmethod
    def load(cls, folder: Path) -> "ScenarioClassifier":
        """Read what `save` wrote.

        Raises:
            BadModel: files are missing, damaged, pickled, or do not belong together.
        """
        try:
            content = json.loads((folder / "classifier.json").read_text(encoding="utf-8"))
            labels = [scenario(label).name for label in content["labels"]]
            with np.load(folder / "classifier.npz", allow_pickle=False) as arrays:
                weights, offsets = arrays["weights"], arrays["offsets"]
                words = _restored(_words(), content["words"], arrays["words"])
                openings = _restored(_openings(), content["openings"], arrays["openings"])
        except (*_UNREADABLE, InvalidInput) as wrong:
            raise BadModel(f"{folder} holds no scenario classifier: {wrong}") from wrong
        features = len(content["words"]) + len(content["openings"])
        if weights.shape != (features, len(labels)) or offsets.shape != (len(labels),):
            raise BadModel(f"{folder}: the parts of the scenario classifier do not fit together")
        return cls(labels, (words, openings), weights, offsets)


@cache
def builtin() -> ScenarioClassifier:
    """The classifier fitted on Judgesmith's own examples, once a process (about a second)."""
    return ScenarioClassifier.fit(*examples())


def examples() -> tuple[list[str], list[str]]:
    """Judgesmith's own example instructions and the scenarios' descriptions, with their labels."""
    data = tomllib.loads(
        (files("judge.prompts") / "data" / "scenario_examples.toml").read_text(encoding="utf-8")
    )
    pairs = [(text, name) for name, texts in data.items() for text in texts]
    pairs += [(entry.description, entry.name) for entry in scenarios().values() if entry.name != DEFAULT]
    return [text for text, _ in pairs], [label for _, label in pairs]


def shorten(text: str) -> str:
    """Leave out the middle of a long text: the request is at its beginning or its end."""
    if len(text) <= CHARACTERS:
        return text
    return f"{text[: CHARACTERS // 2]}\n[…]\n{text[-CHARACTERS // 2 :]}"


def _words() -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), token_pattern=r"\b\w+\b", sublinear_tf=True, dtype=np.float32)


def _openings() -> TfidfVectorizer:
    return TfidfVectorizer(
        analyzer="char_wb",
        ngram_range=(2, 5),
        min_df=2,
        sublinear_tf=True,
        preprocessor=_opening,
        dtype=np.float32,
    )


def _opening(text: str) -> str:
    return text[:OPENING].lower()


def _restored(vectorizer: TfidfVectorizer, terms: list[str], idf: Array) -> TfidfVectorizer:
    vectorizer.vocabulary = {term: index for index, term in enumerate(terms)}
    vectorizer.idf_ = idf
    return vectorizer
