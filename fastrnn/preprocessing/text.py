"""Texts as word numbers, and back: the Tokenizer of Keras 2, whose files this one reads and writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastrnn import validate

FILTERS = '!"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n'

MODES = ("binary", "count", "freq", "tfidf")

# what get_config keeps as JSON texts within the JSON, as Keras does
COUNTS = ("word_counts", "word_docs", "index_docs", "index_word", "word_index")


def text_to_word_sequence(text: str, filters: str = FILTERS, lower: bool = True, split: str = " ") -> list[str]:
    """The words of a text: every character of `filters` is a gap as `split` is, and gaps hold no words.

    Parameters
    ----------
    text : str
    filters : str
        By default punctuation but the apostrophe, tabs and line ends.
    lower : bool
        Whether capitals are made small.
    split : str

    Examples
    --------
    >>> text_to_word_sequence("It's <b>good</b>, isn't it?")
    ["it's", 'b', 'good', 'b', "isn't", 'it']
    """
    if not isinstance(text, str):
        raise TypeError(f"text must be a string, got {text!r}")
    return _splitter(filters, lower, split)(text)


def _splitter(filters: str, lower: bool, split: str) -> Callable[[str], list[str]]:
    for name, value in (("filters", filters), ("split", split)):
        if not isinstance(value, str):
            raise TypeError(f"{name} must be a string, got {value!r}")
    if not split:
        raise ValueError("split must be a string that is not empty, got ''")
    table = str.maketrans(dict.fromkeys(filters, split))

    def words(text: str) -> list[str]:
        text = (text.lower() if lower else text).translate(table)
        return [word for word in text.split(split) if word]

    return words


class Tokenizer:
    """Gives every word of some texts a number: 1 the most frequent; 0 is left for padding.

    Parameters
    ----------
    num_words : int, optional
        Only numbers below this are used: the `num_words - 1` most frequent words.
    filters, lower, split
        As in `text_to_word_sequence`.
    char_level : bool
        Every character is a word; `filters` and `split` have no part then.
    oov_token : str, optional
        A word that stands for all that have no number; it has number 1, and the most frequent word 2. Without it, such
        words are left out.
    analyzer : callable, optional
        str -> list of str, instead of filters, lower and split.

    Attributes
    ----------
    word_index : dict of str to int
        Of all words, whatever `num_words`. Words of one frequency are numbered in the order of their first appearance.
    index_word : dict of int to str
        The reverse.
    word_counts, word_docs : dict of str to int
        How often a word came, and in how many texts.
    index_docs : dict of int to int
        The latter by number.
    document_count : int
        Texts so far.

    Examples
    --------
    >>> tokenizer = Tokenizer(num_words=100)
    >>> tokenizer.fit_on_texts(["The cat sat.", "The dog!"])
    >>> tokenizer.texts_to_sequences(["the dog sat", "a cat"])
    [[1, 4, 3], [2]]
    """

    def __init__(
        self,
        num_words: int | None = None,
        filters: str = FILTERS,
        lower: bool = True,
        split: str = " ",
        char_level: bool = False,
        oov_token: str | None = None,
        analyzer: Callable[[str], list[str]] | None = None,
        *,
        document_count: int = 0,
    ) -> None:
        self.num_words = None if num_words is None else validate.count("num_words", num_words, minimum=1)
        _splitter(filters, bool(lower), split)  # which checks them
        if oov_token is not None and not isinstance(oov_token, str):
            raise TypeError(f"oov_token must be a string, got {oov_token!r}")
        if analyzer is not None:
            validate.function("analyzer", analyzer)
        self.filters, self.lower, self.split = filters, bool(lower), split
        self.char_level, self.oov_token, self.analyzer = bool(char_level), oov_token, analyzer
        self.document_count = validate.count("document_count", document_count)
        self.word_counts: Counter[str] = Counter()
        self.word_docs: Counter[str] = Counter()
        self.index_docs: Counter[int] = Counter()
        self.word_index: dict[str, int] = {}
        self.index_word: dict[int, str] = {}

    # ---- learning

    def fit_on_texts(self, texts: Iterable[str | list[str]]) -> None:
        """Count the words of more texts, and number all words anew.

        Parameters
        ----------
        texts : iterable of str, or of lists of words
        """
        for words in self._words(texts):
            self.document_count += 1
            self.word_counts.update(words)
            self.word_docs.update(dict.fromkeys(words, 1))
        # sorted() is stable: ties stay in the order of their appearance
        ranked = sorted(self.word_counts, key=self.word_counts.__getitem__, reverse=True)
        if self.oov_token is not None:
            ranked.insert(0, self.oov_token)
        # as in Keras, an oov_token that is also a word of the texts gets the word's number
        self.word_index = {word: number for number, word in enumerate(ranked, 1)}
        self.index_word = {number: word for word, number in self.word_index.items()}
        self.index_docs = Counter({self.word_index[word]: count for word, count in self.word_docs.items()})

    def fit_on_sequences(self, sequences: Iterable[Iterable[int]]) -> None:
        """Count in how many sequences a number comes, for `sequences_to_matrix` without texts."""
        for sequence in _numbers(sequences):
            self.document_count += 1
            self.index_docs.update(dict.fromkeys(sequence, 1))

    def _words(self, texts: Iterable[str | list[str]]) -> Iterator[Sequence[str]]:
        """The words of each text."""
        split = self.analyzer or _splitter(self.filters, self.lower, self.split)
        for number, text in enumerate(validate.rows("texts", texts)):
            if isinstance(text, list):
                for word in text:
                    if not isinstance(word, str):
                        raise TypeError(f"texts[{number}] must hold words, got {word!r}")
                yield [word.lower() for word in text] if self.lower else text
            elif not isinstance(text, str):
                raise TypeError(f"texts[{number}] must be a string or a list of words, got {text!r}")
            elif self.char_level:
                yield text.lower() if self.lower else text
            else:
                yield split(text)

    # ---- texts and numbers

    def texts_to_sequences(self, texts: Iterable[str | list[str]]) -> list[list[int]]:
        """The numbers of each text's words."""
        return list(self.texts_to_sequences_generator(texts))

    def texts_to_sequences_generator(self, texts: Iterable[str | list[str]]) -> Iterator[list[int]]:
        """The same, one after the other."""
        number_of, limit = self.word_index.get, self._limit()
        other = None if self.oov_token is None else number_of(self.oov_token)
        for words in self._words(texts):
            numbers = [number_of(word, limit) for word in words]
            if other is None:
                yield [number for number in numbers if number < limit]
            else:
                yield [number if number < limit else other for number in numbers]

    def sequences_to_texts(self, sequences: Iterable[Iterable[int]]) -> list[str]:
        """The words of each sequence, with blanks between them."""
        return list(self.sequences_to_texts_generator(sequences))

    def sequences_to_texts_generator(self, sequences: Iterable[Iterable[int]]) -> Iterator[str]:
        """The same, one after the other."""
        limit, other = self._limit(), self.oov_token if self.word_index else None
        for sequence in _numbers(sequences):
            words = (self.index_word.get(number) if number < limit else other for number in sequence)
            words = (other if word is None else word for word in words)
            yield " ".join(word for word in words if word is not None)

    def _limit(self) -> int:
        """Numbers from here on are not used."""
        return 1 << 62 if self.num_words is None else self.num_words

    # ---- one row for each text

    def texts_to_matrix(self, texts: Iterable[str | list[str]], mode: str = "binary") -> np.ndarray:
        """`sequences_to_matrix` of `texts_to_sequences`."""
        return self.sequences_to_matrix(self.texts_to_sequences(texts), mode)

    def sequences_to_matrix(self, sequences: Sequence[Sequence[int]], mode: str = "binary") -> np.ndarray:
        """What of each number there is in each sequence.

        Parameters
        ----------
        sequences : list of lists of int
            Numbers from `num_words` on are left out.
        mode : {"binary", "count", "freq", "tfidf"}
            1 if the number is there; c, how often; c by the sequence's length; or
            (1 + log c) log(1 + document_count / (1 + index_docs)).

        Returns
        -------
        x : ndarray of float64, (len(sequences), num_words)
            Without `num_words`: one more than there are words.

        Raises
        ------
        ValueError
            Unknown mode, a negative number, or nothing was fitted that would give the size, or "tfidf" its figures.
        """
        mode = validate.choice("mode", mode, MODES)
        if self.num_words is None and not self.word_index:
            raise ValueError("num_words must be given, or the Tokenizer fitted on texts first")
        if mode == "tfidf" and not self.document_count:
            raise ValueError('mode "tfidf" needs a Tokenizer that was fitted first')
        width = len(self.word_index) + 1 if self.num_words is None else self.num_words
        rows = list(_numbers(sequences))
        lengths = np.array([len(row) for row in rows], np.int64)
        numbers = validate.integers("sequences", [number for row in rows for number in row], 0, 2**62)
        of_row = np.repeat(np.arange(len(lengths)), lengths)
        kept = numbers < width
        places = of_row[kept] * width + numbers[kept]
        x = np.bincount(places, minlength=len(lengths) * width).reshape(len(lengths), width).astype(np.float64)
        if mode == "binary":
            np.minimum(x, 1, out=x)
        elif mode == "freq":
            x /= np.maximum(lengths, 1)[:, np.newaxis]
        elif mode == "tfidf":
            np.log(x, out=x, where=x > 0)
            x[of_row[kept], numbers[kept]] += 1
            docs = np.array([self.index_docs.get(number, 0) for number in range(width)])
            x *= np.log(1 + self.document_count / (1 + docs))
        return x

    # ---- files

    def get_config(self) -> dict[str, Any]:
        """All of the tokenizer, as Keras's `get_config`: the dictionaries as JSON texts.

        Raises
        ------
        ValueError
            There is an analyzer, which no text can hold.
        """
        import json

        if self.analyzer is not None:
            raise ValueError("a Tokenizer with an analyzer cannot be kept as text")
        names = "num_words filters lower split char_level oov_token document_count".split()
        config = {name: getattr(self, name) for name in names}
        return config | {name: json.dumps(getattr(self, name)) for name in COUNTS}

    def to_json(self, **options: Any) -> str:
        """The tokenizer as a text that `tokenizer_from_json` reads, Keras's too; the options go to json.dumps."""
        import json

        return json.dumps({"class_name": "Tokenizer", "config": self.get_config()}, **options)


def _numbers(sequences: Any) -> Iterator[list[int]]:
    """The word numbers of each sequence."""
    for place, sequence in enumerate(validate.rows("sequences", sequences)):
        row = sequence.tolist() if isinstance(sequence, np.ndarray) else sequence
        if isinstance(row, (str, bytes)) or not hasattr(row, "__iter__"):
            raise TypeError(f"sequences[{place}] must be a list of whole numbers, got {sequence!r}")
        yield validate.integers(f"sequences[{place}]", list(row), -(2**62), 2**62).tolist()


def tokenizer_from_json(text: str) -> Tokenizer:
    """The tokenizer of a text that `Tokenizer.to_json` wrote, ours or Keras's.

    Raises
    ------
    ValueError
        It is not such a text.
    """
    import json

    try:
        config = dict(json.loads(text)["config"])
        counts = {name: dict(json.loads(config.pop(name))) for name in COUNTS}
        tokenizer = Tokenizer(**config)
        for name, keys, values in (
            ("word_counts", str, int),
            ("word_docs", str, int),
            ("index_docs", int, int),
            ("index_word", int, str),
            ("word_index", str, int),
        ):
            parts = counts[name].items()
            checked = {keys(key): value for key, value in parts if type(value) is values}
            if len(checked) != len(counts[name]):
                raise ValueError(f"{name} must hold {values.__name__} values")
            getattr(tokenizer, name).update(checked)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"text must be what Tokenizer.to_json writes: {error}") from None
    return tokenizer
