"""The language of filters, as it is typed."""

import pytest
from hypothesis import given
from hypothesis import strategies as some

from modelhub.core.errors import InvalidInput
from modelhub.core.query import Term, parse


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("", ()),
        ("Dream", (Term("", ("dream",)),)),
        ("dream  shaper", (Term("", ("dream",)), Term("", ("shaper",)))),
        ('"dream shaper"', (Term("", ("dream shaper",)),)),
        ('"still typing', (Term("", ("still typing",)),)),
        ("type:lora", (Term("type", ("lora",)),)),
        ("type:LoRA,vae", (Term("type", ("lora", "vae")),)),
        ("type:=lora", (Term("type", ("lora",), "is"),)),
        ('tag:="two words"', (Term("tag", ("two words",), "is"),)),
        ('tag:"two words"', (Term("tag", ("two words",)),)),
        ("-sub:pony", (Term("sub", ("pony",), negated=True),)),
        ("-dream", (Term("", ("dream",), negated=True),)),
        ("is:deployed", (Term("is", ("deployed",), "is"),)),
        ("size:>2G", (Term("size", (), ">", 2e9),)),
        ("size:<=500M", (Term("size", (), "<=", 5e8),)),
        ("size:1G..2G", (Term("size", (), ">=", 1e9), Term("size", (), "<=", 2e9))),
        ("sure:<70", (Term("sure", (), "<", 0.7),)),
        ("sure:>=70%", (Term("sure", (), ">=", 0.7),)),
        ("llama3:8b", (Term("", ("llama3:8b",)),)),
        ("type: size:> type:= -", ()),
    ],
)
def test_what_is_typed_is_understood(text: str, terms: tuple[Term, ...]) -> None:
    assert parse(text) == terms


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("is:nice", "'nice' is no state"),
        ("size:big", "size:big compares nothing"),
        ("size:>big", "'big' is no size"),
        ("sure:>200", "'200' is no percentage"),
        ("-size:1G..2G", "cannot be asked"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(text: str, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        parse(text)


@given(some.text())
def test_anything_may_be_typed(text: str) -> None:
    try:
        parse(text)
    except InvalidInput as error:
        assert error.hint  # noqa: PT017  (only this error may come, and only with advice)


@pytest.mark.parametrize(
    ("new", "old", "narrows"),
    [
        ("dream", "dre", True),
        ("dre", "dream", False),
        ("type:lora", "type:lo", True),
        ("-dream", "-dre", False),
        ("type:=lora", "type:lo", False),
        ("size:>2G", "size:>2G", True),
        ("size:>3G", "size:>2G", False),
    ],
)
def test_a_longer_word_narrows(new: str, old: str, narrows: bool) -> None:
    assert parse(new)[0].narrows(parse(old)[0]) is narrows
