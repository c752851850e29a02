"""Texts: rows, readers, and which are the same or nearly so."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.errors import RequestError
from bench.modalities.base import Unreadable
from bench.modalities.registry import modality
from bench.modalities.text.alike import ALIKE, partners, share, signature
from bench.modalities.text.facts import Facts, plain
from bench.modalities.text.input import TextInput
from bench.modalities.text.items import GivenText
from bench.modalities.text.reader import LENGTHS, HashedWords, TextReader
from bench.modalities.text.rows import row_of, rows_of_texts, texts_of, whole

TEXTS = modality("text")
SENTENCE = "The quick brown fox jumps over the lazy dog and then it sleeps for a long while in the warm sun."


@given(st.text(st.characters(blacklist_categories=["Cs"], blacklist_characters="\0")), st.integers(1, 40))
def test_a_row_holds_the_beginning_of_a_text_in_whole_characters(text: str, width: int) -> None:
    [back] = texts_of(row_of(text, width)[None])
    assert text.startswith(back)
    assert len(back.encode()) <= width
    rest = text[len(back) :]
    assert not rest or len((back + rest[0]).encode()) > width


@given(st.text())
def test_every_text_can_be_stored(text: str) -> None:
    whole(text + "\ud83d").encode()
    assert whole("\ud83d\ude00" + text)[0] == "😀"
    GivenText(text + "\udce9").sha256()


@given(st.lists(st.text(max_size=60), min_size=1, max_size=8), st.sampled_from([8, 20, 128]))
def test_tokens_are_filled_up_to_one_of_few_lengths(texts: list[str], limit: int) -> None:
    rows = rows_of_texts([whole(text.replace("\0", "")) for text in texts], 8 * limit)
    reader = TextReader(HashedWords(), limit)
    [tokens], lengths = reader.tensors(rows), reader.lengths(rows)
    assert tokens.shape == (len(texts), lengths.max())
    assert {*lengths.tolist()} <= {*LENGTHS, limit}
    assert (tokens[:, 0] == 1).all()
    for row, length in zip(tokens, lengths, strict=True):
        assert not row[length:].any()


@pytest.mark.parametrize("content", ["", "  \n\t ", "\0\0", "\0 "])
def test_a_text_without_anything_is_left_out(content: str) -> None:
    with pytest.raises(Unreadable):
        TEXTS.read(GivenText(content), TextInput(8))


def test_a_text_is_read_without_null_characters() -> None:
    row, facts = TEXTS.read(
        GivenText("  as it is <b>written</b>\0 by people who do http://so.org "), TextInput(16)
    )
    assert texts_of(row[None]) == ["as it is <b>written</b> by people who do http://so.org"]
    assert (facts.nulls, facts.markup, facts.links, facts.foreign, facts.wordless) == (
        True,
        True,
        True,
        False,
        False,
    )
    assert TEXTS.snippet(row, 20) == "as it is <b>writt..."


def test_what_is_only_written_otherwise_is_identical() -> None:
    same = ["Where is MY card?", " where  is\nmy card? ", "where is my card?"]
    facts = [TEXTS.read(GivenText(text), TextInput(16))[1] for text in [*same, "Where is my card"]]
    assert TEXTS.identical(facts, [], lambda which: iter(())).tolist() == [0, 0, 0, 1]
    rows = rows_of_texts(same, 64)
    assert len(np.unique(TEXTS.hashes(rows), axis=0)) == 1


def test_nearly_the_same_are_found_and_others_not() -> None:
    others = [
        f"Number {i}: {'abcdefghij'[i % 10] * 9} {i * 7919} {i**3} something else altogether"
        for i in range(300)
    ]
    texts = [SENTENCE, SENTENCE.replace("quick", "swift"), SENTENCE.replace(".", " !!"), *others]
    signatures = np.stack([signature(plain(text)) for text in texts])
    found = partners(signatures, np.arange(len(texts)))
    assert (found[:3] >= 0).all()
    assert set(found[:3].tolist()) <= {0, 1, 2}
    assert (found[3:] < 0).sum() >= 290
    one_kind = partners(signatures, np.zeros(len(texts), int))
    assert (one_kind < 0).all()


@given(st.integers(0, 10**6))
def test_the_estimate_is_near_the_share_of_common_grams(seed: int) -> None:
    rng = np.random.default_rng(seed)
    letters = rng.choice([*"abcdefghijklmnop"], 300)
    other = np.concatenate([letters[:200], rng.choice([*"abcdefghijklmnop"], 100)])
    a, b = ("".join(text) for text in (letters, other))
    grams = [{text[i : i + 5] for i in range(len(text) - 4)} for text in (a, b)]
    exact = len(grams[0] & grams[1]) / len(grams[0] | grams[1])
    estimate = share(np.stack([signature(a), signature(b)]), np.array([0]), np.array([1]))[0]
    assert abs(estimate - exact) < 0.25  # five standard errors and more


def test_short_texts_are_not_nearly_anything() -> None:
    signatures = np.stack([signature("thanks a lot"), signature("thanks a lot!")])
    assert (partners(signatures, np.arange(2)) < 0).all()
    assert 0.5 < ALIKE < 1


def test_tokens_are_estimated() -> None:
    facts = Facts.of("Unbelievable, isn't it?", 1000)
    assert (facts.words, facts.tokens, facts.held) == (3, 8, 1.0)
    assert Facts.of("Где моя карта?", 1000).foreign
    assert Facts.of("?!", 1000).wordless


def test_an_unknown_modality_is_refused() -> None:
    with pytest.raises(RequestError, match="image or text"):
        modality("smell")
