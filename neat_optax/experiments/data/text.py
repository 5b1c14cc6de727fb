"""Text as numbers: labeled sentences, and characters that follow one another."""

import collections
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

import numpy as np

from neat_optax.experiments.data.parts import Data, Split

PADDING, UNKNOWN = 0, 1
"""What fills a short sentence, and what stands for a token that training has not."""
LONGEST = 64
"""Tokens of a sentence that are read, and characters of a window."""
_HEADER = "sentence\tlabel"
_FIRST = 2  # the number of the first token of its own

Tokenize = Callable[[str], Sequence[str]]


class Vocabulary(NamedTuple):
    """The tokens that have numbers of their own: 2, 3, and so on."""

    tokens: tuple[str, ...]

    @property
    def size(self) -> int:
        """How many numbers there are, with those of padding and unknown tokens."""
        return _FIRST + len(self.tokens)


def words(sentence: str) -> list[str]:
    """What stands between blanks, in lower case."""
    return sentence.lower().split()


def byte_tokens(sentence: str) -> list[str]:
    """The bytes of its UTF-8, each as the character of that number."""
    return [chr(byte) for byte in sentence.encode()]


def make_vocabulary(
    sentences: Iterable[Sequence[str]], most: int = 20_000
) -> Vocabulary:
    """The most frequent tokens; of equally frequent ones the first in their order.

    Args:
      sentences: of the training part alone, as tokens.
      most: tokens that get a number of their own.

    Example:
      >>> make_vocabulary([["a", "good", "film"], ["a", "bad", "film"]], most=3).tokens
      ('a', 'film', 'bad')
    """
    counts = collections.Counter(token for tokens in sentences for token in tokens)
    ranked = sorted(counts, key=lambda token: (-counts[token], token))
    return Vocabulary(tuple(ranked[:most]))


def encode(
    sentences: Sequence[Sequence[str]], vocabulary: Vocabulary, length: int
) -> np.ndarray:
    """[sentences, length] int32: numbers of tokens, cut off or padded at the end.

    What is not padding is `encode(...) != PADDING`.

    Example:
      >>> encode([["a", "new", "film"]], Vocabulary(("a", "film")), 5).tolist()
      [[2, 1, 3, 0, 0]]
    """
    numbers = {token: i for i, token in enumerate(vocabulary.tokens, start=_FIRST)}
    encoded = np.full((len(sentences), length), PADDING, np.int32)
    for row, tokens in zip(encoded, sentences, strict=True):
        known = [numbers.get(token, UNKNOWN) for token in tokens[:length]]
        row[: len(known)] = known
    return encoded


def read_sentences(path: str | os.PathLike) -> Split:
    """Sentences and labels from a file of tab-separated values, as SST-2 has them.

    Args:
      path: of a file in UTF-8, whose first line is `sentence<TAB>label`, and each other
        one a sentence, a tab and a whole number from 0 on. Quotes have no meaning.
    """
    path = pathlib.Path(path)
    header, *lines = _read(path).removesuffix("\n").split("\n")
    if header != _HEADER:
        raise ValueError(
            f"`dataset` must begin with {_HEADER!r}, got {header!r} in {path}."
        )
    if not lines:
        raise ValueError(f"`dataset` must have a sentence, got none in {path}.")
    pairs = [line.rstrip("\r").rpartition("\t") for line in lines]
    for number, (_, tab, label) in enumerate(pairs, start=2):
        if not tab or not (label.isascii() and label.isdecimal()):
            raise ValueError(
                "`dataset` must be of lines of a sentence, a tab and a whole number "
                f"from 0 on, got {lines[number - 2]!r} in line {number} of {path}."
            )
    sentences = np.array([sentence for sentence, _, _ in pairs], object)
    return Split(sentences, np.array([int(label) for _, _, label in pairs], np.int32))


def encode_sentences(
    data: Data, tokenize: Tokenize = words, longest: int = LONGEST
) -> tuple[Data, Vocabulary]:
    """Sentences as numbers, by what occurs in the training part.

    Args:
      data: parts with sentences, as `read_sentences` gives them.
      tokenize: `words`, `byte_tokens` or another function from a sentence to tokens.
      longest: tokens of a sentence that are read.

    Returns:
      Data with x [sentences, length] int32, where the length is that of the longest
      training sentence, and the vocabulary.
    """
    tokens = [[tokenize(x)[:longest] for x in part.x] for part in data]
    vocabulary = make_vocabulary(tokens[0])
    length = max(1, *map(len, tokens[0]))
    encoded = [
        Split(encode(seen, vocabulary, length), part.y)
        for seen, part in zip(tokens, data, strict=True)
    ]
    return Data(*encoded), vocabulary


def read_characters(path: str | os.PathLike, length: int = LONGEST) -> Data:
    """Windows of a text, divided by position, so that no part has seen another.

    The first 60 % are to train, the next 20 % to select by, the last 20 % to report.
    What is left of a part after its last window is left out.

    Args:
      path: of a file in UTF-8.
      length: characters of a window, and one more: each window ends with the character
        that the next one begins with.

    Returns:
      Data with x [windows] of strings. The labels are all 0: `encode_characters` finds
      the real ones.
    """
    path = pathlib.Path(path)
    text = _read(path)
    ends = [0, round(0.6 * len(text)), round(0.8 * len(text)), len(text)]
    texts = [text[i:j] for i, j in itertools.pairwise(ends)]
    if min(map(len, texts)) < length + 1:
        raise ValueError(
            f"`dataset` must be a text whose fifths have {length + 1} characters each, "
            f"got {len(text)} characters in {path}."
        )
    return Data(*(_windows(x, length) for x in texts))


def encode_characters(data: Data) -> tuple[Data, Vocabulary]:
    """Characters as numbers, by what occurs in the training part.

    Args:
      data: as `read_characters` gives it.

    Returns:
      Data with x and y [windows, length] int32, where the label of a character is the
      next one, and the vocabulary of characters.
    """
    vocabulary = make_vocabulary(data.train.x)
    numbers = [encode(part.x, vocabulary, len(part.x[0])) for part in data]
    return Data(*(Split(x[:, :-1], x[:, 1:]) for x in numbers)), vocabulary


def _windows(text: str, length: int) -> Split:
    starts = range(0, len(text) - length, length)
    windows = np.array([text[i : i + length + 1] for i in starts], object)
    return Split(windows, np.zeros(len(windows), np.int32))


def _read(path: pathlib.Path) -> str:
    try:
        return path.read_bytes().decode()
    except UnicodeDecodeError as error:
        raise ValueError(f"`dataset` must be in UTF-8, got {path}: {error}.") from error
