"""Only the bytes of the model's name change."""

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metier.gateway.upstreams.splicing import with_model

SPACE = st.text(" \t\r\n", max_size=3)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=12) | st.just('"model": "x"'),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5) | st.just("model"), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = st.text(max_size=6) | st.sampled_from(["messages", "Model", "models", 'mod"el', "model\\"])
NAMES = st.text(min_size=1, max_size=12)
MODEL_KEYS = st.sampled_from([b'"model"', b'"mode\\u006c"', b'"\\u006d\\u006f\\u0064el"'])


@st.composite
def bodies(draw):
    """A body with gaps where the model's names stand, and the body with "old" in these gaps."""
    members = draw(st.lists(st.tuples(KEYS.filter(lambda key: key != "model"), VALUES), max_size=4))
    parts = [orjson.dumps(key) + spaced(draw, b":") + orjson.dumps(value) for key, value in members]
    n_models = draw(st.integers(1, 2))
    for _ in range(n_models):
        at = draw(st.integers(0, len(parts)))
        parts.insert(at, draw(MODEL_KEYS) + spaced(draw, b":") + b"\0")
    return spaced(draw, b"{") + b",".join(part + draw(SPACE).encode() for part in parts) + spaced(draw, b"}")


def spaced(draw, mark):
    return draw(SPACE).encode() + mark + draw(SPACE).encode()


@settings(deadline=None)
@given(bodies(), NAMES, NAMES)
def test_every_other_byte_stays(pattern, old, new):
    # JSON has no raw NUL, so the gaps are the only ones.
    before = pattern.replace(b"\0", orjson.dumps(old))
    after = with_model(before, new)
    assert after == pattern.replace(b"\0", orjson.dumps(new))
    assert orjson.loads(after)["model"] == new


@settings(deadline=None)
@given(VALUES.map(lambda value: {"messages": value}), NAMES)
def test_nested_names_are_not_touched(request, new):
    body = orjson.dumps(request)
    assert with_model(body, new) == body


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b'{"model":"a"}', b'{"model":"NEW"}'),
        (b'{ "model" :\n"a\\"b" , "x":1}', b'{ "model" :\n"NEW" , "x":1}'),
        (b'{"a":"model","model":"a"}', b'{"a":"model","model":"NEW"}'),
        (b'{"tools":[{"model":"a"}],"model":"b"}', b'{"tools":[{"model":"a"}],"model":"NEW"}'),
        (b'{"model":"a","model":"b"}', b'{"model":"NEW","model":"NEW"}'),
        (b'{"model":null,"model":"b"}', b'{"model":null,"model":"NEW"}'),
        (b'{"model":{"model":"a"}}', b'{"model":{"model":"a"}}'),
        (b'{"x":"\\\\","model":"a"}', b'{"x":"\\\\","model":"NEW"}'),
        (b'{"x":"}{[\\"model\\":\\"a\\"","model":"a"}', b'{"x":"}{[\\"model\\":\\"a\\"","model":"NEW"}'),
        (b'["model","a"]', b'["model","a"]'),
        ('{"é":"ü","model":"a"}'.encode(), '{"é":"ü","model":"NEW"}'.encode()),
    ],
)
def test_examples(before, after):
    assert with_model(before, "NEW") == after


def test_a_large_picture_in_the_body():
    picture = b"A" * 5_000_000
    before = b'{"messages":[{"content":"data:' + picture + b'"}],"model":"a"}'
    assert with_model(before, 'n"ew') == before[:-3] + b'n\\"ew"}'
