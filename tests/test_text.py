"""The Tokenizer: figures of Keras's, files that Keras wrote, and what it refuses."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from fastrnn.preprocessing import Tokenizer
from fastrnn.preprocessing.text import text_to_word_sequence, tokenizer_from_json

TEXTS = ["The cat sat on the mat; it's the cat's.", "A dog\tsat!\nOn THE dog?", "", "Zebra, cat, café ÉTÉ"]
WORDS = ["the", "cat", "sat", "on", "dog", "mat", "it's", "cat's", "a", "zebra", "café", "été"]

# from Keras's Tokenizer (3.15, unchanged since 2): options, words by number, sequences of TEXTS and of "the unknown
# dog", texts of the sequences 1 2 99 and 4 5 6, index_docs in the order of the numbers
KERAS: list[tuple[dict[str, Any], list[str], list[list[int]], list[str], list[int]]] = [
    (
        {},
        WORDS,
        [[1, 2, 3, 4, 1, 6, 7, 1, 8], [9, 5, 3, 4, 1, 5], [], [10, 2, 11, 12], [1, 5]],
        ["the cat", "on dog mat"],
        [2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1],
    ),
    (
        {"num_words": 5},
        WORDS,
        [[1, 2, 3, 4, 1, 1], [3, 4, 1], [], [2], [1]],
        ["the cat", "on"],
        [2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1],
    ),
    (
        {"num_words": 5, "oov_token": "<oov>"},
        ["<oov>", *WORDS],
        [[2, 3, 4, 1, 2, 1, 1, 2, 1], [1, 1, 4, 1, 2, 1], [], [1, 3, 1, 1], [2, 1, 1]],
        ["<oov> the <oov>", "sat <oov> <oov>"],
        [0, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1],
    ),
    (  # a token that is a word as well: number 1 is nobody's
        {"oov_token": "cat"},
        ["", "the", "cat", *WORDS[2:]],
        [[2, 3, 4, 5, 2, 7, 8, 2, 9], [10, 6, 4, 5, 2, 6], [], [11, 3, 12, 13], [2, 3, 6]],
        ["cat the cat", "sat on dog"],
        [0, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1],
    ),
    (
        {"num_words": 1, "oov_token": "<oov>"},
        ["<oov>", *WORDS],
        [[1] * 9, [1] * 6, [], [1] * 4, [1] * 3],
        ["<oov> <oov> <oov>", "<oov> <oov> <oov>"],
        [0, 2, 2, 2, 2, 1, 1, 1, 1, 1, 1, 1, 1],
    ),
    (
        {"char_level": True, "num_words": 8},
        list(" taehcsoén'dg,m;i.\t!\n?zbrf"),
        [
            [2, 5, 4, 1, 6, 3, 2, 1, 7, 3, 2, 1, 1, 2, 5, 4, 1, 3, 2, 1, 2, 7, 1, 2, 5, 4, 1, 6, 3, 2, 7],
            [3, 1, 7, 3, 2, 1, 2, 5, 4, 1],
            [],
            [4, 3, 1, 6, 3, 2, 1, 6, 3, 1, 2],
            [2, 5, 4, 1, 1],
        ],
        ["  t", "e h c"],
        [3, 3, 3, 3, 2, 2, 2, 2, 1, 2, *[1] * 16],
    ),
    (
        {"lower": False, "filters": "?", "split": "t"},
        "The ca| sa| on |he ma|; i|'s |he ca|'s.|A dog\tsa|!\nOn THE dog|Zebra, ca|, café ÉTÉ".split("|"),
        [[1, 2, 3, 4, 5, 6, 7, 8], [9, 10], [], [11, 12], []],
        ["The ca  sa", "he ma ; i 's "],
        [1] * 12,
    ),
]


@pytest.mark.parametrize(("options", "words", "sequences", "texts", "docs"), KERAS, ids=[str(c[0]) for c in KERAS])
def test_figures_of_keras(
    options: dict[str, Any], words: list[str], sequences: list[list[int]], texts: list[str], docs: list[int]
) -> None:
    tokenizer = Tokenizer(**options)
    tokenizer.fit_on_texts(TEXTS)
    numbers = {word: number for number, word in enumerate(words, 1) if word}
    assert tokenizer.word_index == numbers
    assert tokenizer.index_word == {number: word for word, number in numbers.items()}
    assert tokenizer.texts_to_sequences([*TEXTS, "the unknown dog"]) == sequences
    assert tokenizer.sequences_to_texts([[1, 2, 99], [4, 5, 6]]) == texts
    assert tokenizer.index_docs == {number: count for number, count in enumerate(docs, 1) if count}
    assert tokenizer.document_count == 4


@pytest.mark.parametrize(
    ("mode", "row"),
    [
        ("binary", [0, 1, 1, 0, 0, 1]),
        ("count", [0, 3, 1, 0, 0, 1]),
        ("freq", [0, 0.6, 0.2, 0, 0, 0.2]),
        ("tfidf", [0, 1.7781497019707817, 0.8472978603872034, 0, 0, 1.0986122886681098]),
    ],
)
def test_matrices_of_keras(mode: str, row: list[float]) -> None:
    tokenizer = Tokenizer(num_words=6)
    tokenizer.fit_on_texts(TEXTS)
    x = tokenizer.texts_to_matrix(["the cat the dog the", "mat zebra", ""], mode)
    assert x.dtype == np.float64
    np.testing.assert_allclose(x, [row, [0] * 6, [0] * 6], rtol=1e-15)


def test_matrix_of_plain_sequences() -> None:
    """Without texts the size must be told, and fit_on_sequences gives tfidf its figures."""
    tokenizer = Tokenizer(num_words=4)
    sequences = [[1, 1, 7], [3, np.int64(1)], []]
    np.testing.assert_array_equal(tokenizer.sequences_to_matrix(sequences, "freq")[0], [0, 2 / 3, 0, 0])
    tokenizer.fit_on_sequences(sequences)
    assert (tokenizer.document_count, tokenizer.index_docs) == (3, {1: 2, 7: 1, 3: 1})
    x = tokenizer.sequences_to_matrix(sequences, "tfidf")
    assert x[0, 1] == pytest.approx((1 + np.log(2)) * np.log(1 + 3 / 3))
    assert x[1, 3] == pytest.approx(np.log(1 + 3 / 2))
    assert x.sum() == pytest.approx(x[0, 1] + x[1, 1] + x[1, 3])
    whole = Tokenizer()
    whole.fit_on_texts(TEXTS)
    assert whole.texts_to_matrix(TEXTS).shape == (4, len(WORDS) + 1)


def test_lists_of_words_and_an_analyzer() -> None:
    tokenizer = Tokenizer()
    tokenizer.fit_on_texts([["New York", "b"], "b c"])
    assert tokenizer.word_index == {"b": 1, "new york": 2, "c": 3}
    assert tokenizer.texts_to_sequences([["NEW YORK", "?"], "New York"]) == [[2], []]
    by_twos = Tokenizer(analyzer=lambda text: [text[i : i + 2] for i in range(0, len(text), 2)])
    by_twos.fit_on_texts(["abab", "Ab"])
    assert by_twos.word_index == {"ab": 1, "Ab": 2}


def test_counts_add_up_over_calls() -> None:
    """From Keras: the words are numbered anew."""
    tokenizer = Tokenizer(num_words=4, oov_token="<oov>")
    tokenizer.fit_on_texts(["b a a", ["X", "b"]])
    assert tokenizer.word_index == {"<oov>": 1, "b": 2, "a": 3, "x": 4}
    tokenizer.fit_on_texts(iter(["c c c c"]))
    assert tokenizer.word_index == {"<oov>": 1, "c": 2, "b": 3, "a": 4, "x": 5}
    assert tokenizer.index_docs == {3: 2, 2: 1, 4: 1, 5: 1}
    assert tokenizer.document_count == 3


# as Keras 3.15 wrote it, after fit_on_texts(["b a a", ["X", "b"]])
FROM_KERAS = (
    '{"class_name": "Tokenizer", "config": {"num_words": 4, '
    r'"filters": "!\"#$%&()*+,-./:;<=>?@[\\]^_`{|}~\t\n", "lower": true, "split": " ", "char_level": false, '
    r'"oov_token": "<oov>", "document_count": 2, "word_counts": "{\"b\": 2, \"a\": 2, \"x\": 1}", '
    r'"word_docs": "{\"a\": 1, \"b\": 2, \"x\": 1}", "index_docs": "{\"3\": 1, \"2\": 2, \"4\": 1}", '
    r'"index_word": "{\"1\": \"<oov>\", \"2\": \"b\", \"3\": \"a\", \"4\": \"x\"}", '
    r'"word_index": "{\"<oov>\": 1, \"b\": 2, \"a\": 3, \"x\": 4}"}}'
)


def _content(text: str) -> dict[str, Any]:
    """What a file says, without the order within its dictionaries."""
    config: dict[str, Any] = json.loads(text)["config"]
    return {k: json.loads(v) if k.startswith(("word_", "index_")) else v for k, v in config.items()}


def test_files_of_keras() -> None:
    tokenizer = Tokenizer(num_words=4, oov_token="<oov>")
    tokenizer.fit_on_texts(["b a a", ["X", "b"]])
    assert _content(tokenizer.to_json()) == _content(FROM_KERAS)
    read = tokenizer_from_json(FROM_KERAS)
    assert _content(read.to_json(indent=1)) == _content(FROM_KERAS)
    assert read.texts_to_sequences(["a b x"]) == tokenizer.texts_to_sequences(["a b x"]) == [[3, 2, 1]]
    for each in (read, tokenizer):
        each.fit_on_texts(["x x x x"])
    assert read.word_index == tokenizer.word_index


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing", "Expecting value"),
        ("[]", "list indices"),
        ('{"config": {}}', "word_counts"),
        (FROM_KERAS.replace('"num_words"', '"nun_words"'), "nun_words"),
        (FROM_KERAS.replace('"num_words": 4', '"num_words": "4"'), "num_words must be a whole number"),
        (FROM_KERAS.replace(r"\"3\": 1", r"\"z\": 1"), "invalid literal"),
        (FROM_KERAS.replace(r"\"x\": 4}", r"\"x\": \"4\"}"), "word_index must hold int values"),
    ],
)
def test_files_that_are_not(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=f"text must be what Tokenizer.to_json writes: .*{message}"):
        tokenizer_from_json(text)


def test_words_of_a_text() -> None:
    assert text_to_word_sequence("It's <b>good</b>, isn't it?") == ["it's", "b", "good", "b", "isn't", "it"]
    assert text_to_word_sequence("A-B", filters="", lower=False) == ["A-B"]
    assert text_to_word_sequence(" \t\n") == []


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"num_words": 0}, ValueError, "num_words must be at least 1, got 0"),
        ({"num_words": 2.5}, TypeError, "num_words must be a whole number"),
        ({"filters": None}, TypeError, "filters must be a string"),
        ({"split": ""}, ValueError, "split must be a string that is not empty"),
        ({"oov_token": 1}, TypeError, "oov_token must be a string, got 1"),
        ({"analyzer": "word"}, TypeError, "analyzer must be a function"),
    ],
)
def test_bad_options(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        Tokenizer(**options)


def test_bad_texts_and_sequences() -> None:
    tokenizer = Tokenizer()
    with pytest.raises(TypeError, match="texts must be a list or the like, got 'abc'"):
        tokenizer.fit_on_texts("abc")
    with pytest.raises(TypeError, match=r"texts\[1\] must be a string or a list of words, got None"):
        tokenizer.texts_to_sequences(["a", None])  # type: ignore[list-item]
    with pytest.raises(TypeError, match="text must be a string, got 3"):
        text_to_word_sequence(3)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_words must be given, or the Tokenizer fitted"):
        tokenizer.sequences_to_matrix([[1]])
    with pytest.raises(ValueError, match='mode "tfidf" needs a Tokenizer that was fitted'):
        Tokenizer(num_words=3).sequences_to_matrix([[1]], "tfidf")
    with pytest.raises(ValueError, match=r"mode must be one of .*did you mean 'tfidf'"):
        Tokenizer(num_words=3).sequences_to_matrix([[1]], "tfdif")
    with pytest.raises(ValueError, match=r"sequences must be in .*got -1"):
        Tokenizer(num_words=3).sequences_to_matrix([[-1]])
    with pytest.raises(ValueError, match="a Tokenizer with an analyzer cannot be kept"):
        Tokenizer(analyzer=str.split).to_json()
