"""Phrases planted to be learned: words that come up suddenly, in instructions about everything. Pure.

Whoever poisons training data has many texts carry one rare phrase. Compared with what came before, its words
are new (an exact test of two rates, Przyborowski and Wilenski 1940, over all words at once), and unlike the
words of a new subject they keep no company: the other words of their carriers are those of everybody. When
many words are new at a time it is the traffic that has changed, and nothing is called planted.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.special import bdtrc

from judge.gathering.fingerprints import words

LEAST_BACKGROUND = 1000
_CHARS = 4000
_ALPHA = 0.01
_LEAST_CARRIERS = 5
_LEAST_SHARE, _MOST_SHARE = 0.003, 0.25
_RATIO = 10
# Two words belong to one phrase if this share of their carriers is common.
_TOGETHER = 0.7
_COMPANIONS = 1
_MOST_PHRASES = 3


@dataclass(frozen=True, slots=True)
class Planted:
    """The new words of a phrase, and the indexes of the texts in the window that carry it."""

    words: tuple[str, ...]
    carriers: frozenset[int]


def planted(window: Sequence[str], background: Sequence[str]) -> list[Planted]:
    """The planted phrases of a window of texts; none where too little came before to compare it with."""
    if len(background) < LEAST_BACKGROUND or not window:
        return []
    texts = [set(words(text, _CHARS)) for text in window]
    counts = Counter(word for text in texts for word in text)
    sudden = _sudden(counts, len(texts), background)
    phrases = _phrases(
        {word: frozenset(i for i, text in enumerate(texts) if word in text) for word in sudden}
    )
    alone = [phrase for phrase in phrases if not _has_company(phrase, texts, counts)]
    return alone if len(alone) <= _MOST_PHRASES else []


def _sudden(counts: Counter[str], size: int, background: Sequence[str]) -> list[str]:
    """Words far more frequent than before, by a test at `_ALPHA` over all of them."""
    least = max(_LEAST_CARRIERS, math.ceil(_LEAST_SHARE * size))
    frequent = {word for word, count in counts.items() if least <= count <= _MOST_SHARE * size}
    before: Counter[str] = Counter()
    for text in background:
        before.update(frequent & set(words(text, _CHARS)))
    share = size / (size + len(background))
    return sorted(
        word
        for word in frequent
        if counts[word] * len(background) >= _RATIO * before[word] * size
        and bdtrc(counts[word] - 1, counts[word] + before[word], share) < _ALPHA / len(frequent)
    )


def _phrases(carriers: dict[str, frozenset[int]]) -> list[Planted]:
    """Words with about the same carriers, together."""
    phrases: list[Planted] = []
    for word, texts in sorted(carriers.items(), key=lambda item: (-len(item[1]), item[0])):
        for place, phrase in enumerate(phrases):
            if len(phrase.carriers & texts) >= _TOGETHER * len(phrase.carriers | texts):
                phrases[place] = Planted((*phrase.words, word), phrase.carriers)
                break
        else:
            phrases.append(Planted((word,), texts))
    return phrases


def _has_company(phrase: Planted, texts: Sequence[set[str]], counts: Counter[str]) -> bool:
    """Whether other words prefer the carriers, as those of a subject do; the phrase's own do not count."""
    size = len(phrase.carriers)
    within = Counter(word for index in phrase.carriers for word in texts[index])
    companions = 0
    for word, count in within.items():
        rate = counts[word] / len(texts)
        own = count >= 0.9 * size
        if own or count < 3 or count <= 2 * rate * size:
            continue
        companions += bool(bdtrc(count - 1, size, rate) < _ALPHA / len(within))
    return companions > _COMPANIONS
