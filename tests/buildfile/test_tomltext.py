from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from buildfile.tomltext import parse
from translator.diagnostic import Diagnostic, InvalidFileError
from translator.span import SourceFile, Span
from translator.text.document import Items, Node, Scalar, Table

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

TEXT = """\
# the daemons
[daemons.ci]  # one
address = "tcp://ci:1"
labels = { pool = 'a', "b c" = "d" }
max-parallel = 4
tls.ca = "ca.pem"

[daemons."two # not a comment".tls]
key = '''
a # text ]
'''
[[x-list]]
a = [1, [true, "],"], {b = 1979-05-27 07:32:00}] # ]
[[x-list]]
a.b = \"\"\"
x\\\" = \"\"\"\"
"""


def at(text: str) -> Table:
    return parse(SourceFile(name="daemons.toml", folder="/", text=text))


def drawn(span: Span) -> str:
    """The text that a span is drawn under, lines joined."""
    lines = span.file.lines[span.start.line - 1 : span.end.line]
    lines[-1] = lines[-1][: span.end.column - 1]
    return "\n".join([lines[0][span.start.column - 1 :], *lines[1:]])


def walked(node: Node, path: str = "") -> Iterator[tuple[str, str, str]]:
    """Path, key and value of everything, as they stand in the text."""
    if isinstance(node, Table):
        for name, entry in node.entries.items():
            yield f"{path}.{name}", drawn(entry.key.span), drawn(entry.value.span)
            yield from walked(entry.value, f"{path}.{name}")
    elif isinstance(node, Items):
        for number, item in enumerate(node.items):
            yield f"{path}[{number}]", "", drawn(item.span)
            yield from walked(item, f"{path}[{number}]")


@pytest.mark.parametrize(
    ("path", "key", "value"),
    [
        (".daemons", "daemons", "daemons"),
        (".daemons.ci", "ci", "ci"),
        (".daemons.ci.address", "address", '"tcp://ci:1"'),
        (".daemons.ci.labels", "labels", '{ pool = \'a\', "b c" = "d" }'),
        (".daemons.ci.labels.b c", '"b c"', '"d"'),
        (".daemons.ci.max-parallel", "max-parallel", "4"),
        (".daemons.ci.tls.ca", "ca", '"ca.pem"'),
        (".daemons.two # not a comment", '"two # not a comment"', '"two # not a comment"'),
        (".daemons.two # not a comment.tls.key", "key", "'''\na # text ]\n'''"),
        (".x-list[0].a", "a", '[1, [true, "],"], {b = 1979-05-27 07:32:00}]'),
        (".x-list[0].a[1][1]", "", '"],"'),
        (".x-list[0].a[2].b", "b", "1979-05-27 07:32:00"),
        (".x-list[1].a.b", "b", '"""\nx\\" = """"'),
    ],
)
def test_every_key_and_value_has_its_place(path: str, key: str, value: str) -> None:
    assert (path, key, value) in list(walked(at(TEXT)))


def test_a_value_is_what_toml_says() -> None:
    top = at('a = "4"\nb = 4\nc = true\nd = [0x10, "x\\ty"]\n')
    scalars = [entry.value for entry in top.entries.values()]
    assert [(s.text, s.plain) for s in scalars if isinstance(s, Scalar)] == [
        ("4", False),
        ("4", True),
        ("true", True),
    ]
    assert isinstance(scalars[3], Items)
    assert [s.text for s in scalars[3].items if isinstance(s, Scalar)] == ["16", "x\ty"]


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        ("a = \n", (1, 5), "Invalid value"),
        ("a = 1\na = 2\n", (2, 6), "Cannot overwrite a value"),
        ("[x\n", (1, 3), "Expected ']'"),
        ("a = [1,\n", (1, 8), ""),
    ],
)
def test_what_is_no_toml_has_its_place(text: str, place: tuple[int, int], message: str) -> None:
    with pytest.raises(InvalidFileError) as caught:
        at(text)
    (fault,) = caught.value.diagnostics
    assert isinstance(fault, Diagnostic) and fault.span
    assert (fault.code, message in fault.message) == ("invalid-toml", True)
    assert (fault.span.start.line, fault.span.start.column) == place
    assert "(at" not in fault.message


# --- any valid text ----------------------------------------------------------------------------

_NAMES = st.sampled_from(["a", "b-1", '"q #"', "'l]'"])
_SCALARS = st.one_of(
    st.integers().map(str),
    st.booleans().map(lambda value: str(value).lower()),
    st.text(st.sampled_from("ab#]},= \\\"'"), max_size=6).map(
        lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
    ),
    st.text(st.sampled_from('ab#]},= \\"\n'), max_size=6).map(lambda text: f"'''{text}'''"),
    st.sampled_from(["1979-05-27 07:32:00", "1979-05-27", "6.5e3", "inf", '""', "''"]),
)
_GAPS = st.sampled_from(["", " ", "\n", " # ]}\"'\n"])


def _list(items: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    parts = st.lists(st.tuples(_GAPS, items, _GAPS).map("".join), max_size=3)
    return st.tuples(parts.map(",".join), _GAPS).map(lambda both: f"[{both[0]}{both[1]}]")


def _inline(values: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pairs = st.lists(st.tuples(_NAMES, values), max_size=3, unique_by=lambda pair: pair[0])
    return pairs.map(lambda all_: "{ " + ", ".join(f"{k} = {v}" for k, v in all_) + " }")


_VALUES = st.recursive(_SCALARS, lambda inner: _list(inner) | _inline(inner), max_leaves=6)
_TABLES = st.lists(
    st.tuples(
        st.sampled_from(["[t{}]", "[u.t{}]", "[[l]]", "[u . 'x'.t{}]"]),
        st.lists(st.tuples(_NAMES, _VALUES), max_size=3, unique_by=lambda pair: pair[0]),
    ),
    max_size=4,
)


def plain(node: Node) -> Any:
    """What the spans say is written where a value is, read again."""
    if isinstance(node, Table):
        return {name: plain(entry.value) for name, entry in node.entries.items()}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return tomllib.loads(f"v = {drawn(node.span)}")["v"]


@given(_TABLES)
def test_the_place_of_a_value_holds_the_value(tables: list[Any]) -> None:
    text = "".join(
        f"{header.format(number)}\n" + "".join(f"{key} = {value}\n" for key, value in pairs)
        for number, (header, pairs) in enumerate(tables)
    )
    read = tomllib.loads(text)
    assert repr(plain(at(text))) == repr(read)
