from __future__ import annotations

import gc
import random
from collections.abc import Iterator

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from translator.diagnostic import InvalidFileError
from translator.span import Position, SourceFile
from translator.text import yamlevents
from translator.text.document import (
    Items,
    Node,
    Scalar,
    Table,
    as_bool,
    as_int,
    is_null,
    kind,
    parse,
    parse_all,
    read,
)


def source(text: str) -> SourceFile:
    return SourceFile(name="buildfile.yaml", folder="/work", text=text)


def value(text: str, *path: str | int) -> Node:
    """The node that ``path`` leads to in the YAML ``text``."""
    node: Node = parse(source(text))
    for step in path:
        if isinstance(node, Table):
            node = node.entries[str(step)].value
        elif isinstance(node, Items):
            node = node.items[int(step)]
    return node


def plain(node: Node) -> object:
    """Nodes as Python values, all scalars as texts."""
    if isinstance(node, Table):
        return {key: plain(entry.value) for key, entry in node.entries.items()}
    if isinstance(node, Items):
        return [plain(item) for item in node.items]
    return node.text


def codes(text: str) -> list[str]:
    with pytest.raises(InvalidFileError) as raised:
        parse(source(text))
    return [fault.code for fault in raised.value.diagnostics]


def scalars(node: Node) -> Iterator[Scalar]:
    if isinstance(node, Scalar):
        yield node
    elif isinstance(node, Items):
        for item in node.items:
            yield from scalars(item)
    else:
        for entry in node.entries.values():
            yield entry.key
            yield from scalars(entry.value)


# --- values ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    ["no", "on", "Yes", "1_000", "12:30:45", "1.20", "0755", "2001-01-01", "~", "=", ".inf", "1e3"],
)
def test_a_value_stays_what_was_written(text: str) -> None:
    node = value(f"key: {text}", "key")
    assert isinstance(node, Scalar)
    assert (node.text, node.plain) == (text, True)


@pytest.mark.parametrize(
    "text",
    ["'true'", '"true"', "!!str true", "! true", "|-\n  true", ">-\n  true"],
)
def test_a_quoted_value_is_only_a_text(text: str) -> None:
    node = value(f"key: {text}\n", "key")
    assert isinstance(node, Scalar)
    assert (node.text, node.plain, as_bool(node)) == ("true", False, None)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("true", True), ("False", False), ("TRUE", True), ("yes", None), ("on", None), ("0", None)],
)
def test_only_true_and_false_are_booleans(text: str, wanted: bool | None) -> None:
    assert as_bool(value(f"key: {text}", "key")) is wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("5", 5),
        ("-5", -5),
        ("+5", 5),
        ("0755", 755),
        ("0o17", 15),
        ("0x1F", 31),
        ("1_000", None),
        ("12:30", None),
        ("1.0", None),
        ("'5'", None),
        ("9" * 5000, None),
    ],
)
def test_integers_are_those_of_yaml_1_2(text: str, wanted: int | None) -> None:
    assert as_int(value(f"key: {text}", "key")) == wanted


@pytest.mark.parametrize(
    ("text", "wanted"),
    [("", True), ("~", True), ("null", True), ("NULL", True), ("nil", False), ("''", False)],
)
def test_null_is_plain_and_empty_or_said_so(text: str, wanted: bool) -> None:
    assert is_null(value(f"key: {text}", "key")) is wanted


def test_kinds_are_told_in_plain_words() -> None:
    table = value("a: {}\nb: []\nc: x\nd: 1\ne: true\nf:\ng: '1'")
    assert isinstance(table, Table)
    told = [kind(entry.value) for entry in table.entries.values()]
    assert told == ["a map", "a list", "a string", "a number", "a boolean", "nothing", "a string"]


# --- positions ---------------------------------------------------------------------------------


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_positions_count_characters_from_one(newline: str, mark: str) -> None:
    text = mark + newline.join(["# Größe", "größe: 'ä'", "list:", "  - {key: 日本}", ""])
    node = value(text, "list", 0, "key")
    assert node.span.start == Position(4, 11)
    assert node.span.end == Position(4, 13)
    assert value(text, "größe").span.start == Position(2, 8)


def test_a_block_ends_with_its_last_value() -> None:
    node = value("a:\n  b:\n    - c\n    - d\n\n# comment\n\ne: f\n", "a")
    assert (node.span.start, node.span.end) == (Position(2, 3), Position(4, 8))


def test_a_flow_collection_ends_with_its_bracket() -> None:
    node = value("a: {b: [c, d], e: f }\n", "a")
    assert (node.span.start, node.span.end) == (Position(1, 4), Position(1, 22))


def test_an_alias_is_the_node_that_its_anchor_names() -> None:
    table = parse(source("x-a: &a {b: c}\nd: *a\n"))
    assert table.entries["d"].value is table.entries["x-a"].value


yaml_values = st.recursive(
    st.text(st.characters(codec="utf-8", exclude_categories=("Cc", "Cs", "Cn", "Zl", "Zp"))),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abcdäß日", min_size=1), inner),
)


@given(st.dictionaries(st.text("abcdäß日", min_size=1), yaml_values), st.booleans())
def test_what_pyyaml_writes_is_read_back(tree: dict[str, object], flow: bool) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True, default_flow_style=flow)
    assert plain(parse(source(text))) == tree


@given(st.dictionaries(st.text("abcdäß日", min_size=1), yaml_values))
def test_spans_are_the_marks_of_the_parser(tree: dict[str, object]) -> None:
    text = yaml.safe_dump(tree, allow_unicode=True)
    marked = {
        (event.start_mark.line + 1, event.start_mark.column + 1, event.value)
        for event in yaml.parse(text, Loader=yaml.SafeLoader)
        if isinstance(event, yaml.ScalarEvent)
    }
    for node in scalars(parse(source(text))):
        assert (node.span.start.line, node.span.start.column, node.text) in marked


# --- merge keys --------------------------------------------------------------------------------


def test_merge_keys_give_what_is_not_written() -> None:
    text = "a: &a {x: 1, y: 1}\nb: &b {y: 2, z: 2}\nc: {<<: [*a, *b], z: 3}\nd: {<<: *a}\n"
    assert plain(value(text, "c")) == {"x": "1", "y": "1", "z": "3"}
    assert plain(value(text, "d")) == {"x": "1", "y": "1"}


def test_merged_maps_merge_on() -> None:
    text = "a: &a {x: 1}\nb: &b {<<: *a, y: 2}\nc: {<<: *b, z: 3}\n"
    assert plain(value(text, "c")) == {"x": "1", "y": "2", "z": "3"}


def test_a_quoted_merge_key_is_a_key() -> None:
    assert plain(value('"<<": a')) == {"<<": "a"}


# --- faults ------------------------------------------------------------------------------------


def test_all_faults_of_a_text_are_found() -> None:
    text = "a: *b\na: !!set {}\n? [c]\n: d\n<<: e\n"
    assert codes(text) == [
        "undefined-alias",
        "duplicate-key",
        "unknown-tag",
        "bad-key",
        "bad-merge",
    ]


def test_nodes_remain_after_faults_that_do_not_spoil_them() -> None:
    table, found = parse_all(source("a: 1\na: 2\nb: 3\n"))
    assert [fault.code for fault in found] == ["duplicate-key"]
    assert table is not None
    assert plain(table) == {"a": "1", "b": "3"}


def test_no_nodes_remain_where_some_could_not_be_made() -> None:
    table, found = parse_all(source("a: *b\n"))
    assert table is None
    assert [fault.code for fault in found] == ["undefined-alias"]


@pytest.mark.parametrize("tag", ["str", "int", "float", "bool", "null"])
def test_tags_of_the_core_schema_are_taken(tag: str) -> None:
    node = value(f"a: !!{tag} 1\nb: !!map {{}}\nc: !!seq []\n", "a")
    assert isinstance(node, Scalar)
    assert node.plain is (tag != "str")


def test_nesting_has_a_limit() -> None:
    deepest = yamlevents.MAX_DEPTH - 1  # the top is a map itself
    assert isinstance(value("a: " + "[" * deepest + "]" * deepest, "a"), Items)
    assert codes("a: " + "[" * (deepest + 1) + "]" * (deepest + 1)) == ["too-deep"]
    assert codes("a: " + "[" * 100_000) == ["too-deep"]


def test_aliases_that_multiply_have_a_limit() -> None:
    levels = ["a: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    levels += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 20)]
    assert codes("\n".join(levels)) == ["alias-expansion"]


def test_merge_keys_that_multiply_have_a_limit() -> None:
    first = "a0: &a0 {" + ", ".join(f"k{n}: v" for n in range(2000)) + "}\n"
    text = first + "".join(f"b{n}: {{<<: *a0}}\n" for n in range(1000))
    assert codes(text) == ["alias-expansion"]


def test_a_large_file_may_use_an_anchor_often() -> None:
    text = "x: &x [1, 2, 3, 4, 5, 6, 7, 8]\n" + "".join(f"k{n}: *x\n" for n in range(20_000))
    table = parse(source(text))
    assert len(table.entries) == 20_001


def test_bytes_that_are_no_utf_8_are_placed() -> None:
    with pytest.raises(InvalidFileError, match=r"not UTF-8 text \(line 2, column 5\)"):
        read("buildfile.yaml", "/", "ä: 1\nöü".encode() + b": \xff")


def test_a_byte_order_mark_is_dropped() -> None:
    assert read("buildfile.yaml", "/", b"\xef\xbb\xbfa: b").text == "a: b"


def test_a_lone_surrogate_is_a_fault() -> None:
    assert codes("a: b\nc: \ud800") == ["bad-character"]


def test_the_garbage_collector_is_left_as_it_was() -> None:
    assert gc.isenabled()
    parse_all(source("a: ["))
    assert gc.isenabled()
    gc.disable()
    try:
        parse(source("a: b"))
        assert not gc.isenabled()
    finally:
        gc.enable()


PIECES = (
    *"\n \t:-?,[]{}&*!|>'\"%@`#<~.aé日\r\0\ufeff\u2028",
    "\n  ",
    "\n- ",
    ": ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "!<x> ",
    "---\n",
    "...\n",
    "%YAML 1.2\n",
    "\\",
    "a: ",
    "${A}",
    "|2-\n",
    "\ud800",
)


@settings(max_examples=400)
@given(st.lists(st.sampled_from(PIECES), max_size=40).map("".join))
@example("%YAML 3.0\n---\n")
@example("a: &a [*a]")
@example("? ? ? a")
def test_any_text_gives_nodes_or_faults_with_a_place(text: str) -> None:
    try:
        assert isinstance(parse(source(text)), Table)
    except InvalidFileError as error:
        assert error.diagnostics
        for fault in error.diagnostics:
            assert fault.span is not None
            assert fault.span.start.line >= 1
            assert fault.span.start.column >= 1


@given(st.binary(max_size=60))
def test_any_bytes_give_nodes_or_faults(data: bytes) -> None:
    try:
        table = parse(read("buildfile.yaml", "/", data))
    except InvalidFileError as error:
        assert error.diagnostics
    else:
        assert isinstance(table, Table)


# --- the pure parser ---------------------------------------------------------------------------


@pytest.fixture
def pure_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(yamlevents, "_parser", lambda: yaml.BaseLoader)


SAMPLES = [
    "a: b\nc: [d, {e: f}]\ng: |\n  text\n  more\nh: >-\n  folded\n  text\n",
    "x: &x {a: 1}\ny: {<<: *x, b: 'q'}\nz: *x\n",
    "a: b: c",
    "a:\n\t- b",
    "a: [1, 2",
    "a: 'x",
    'a: "\\q"',
    "a: @x",
    "a:\n  b: 1\n c: 2",
    "- a\nb: c",
    "a: - b",
    "a: |x",
    "a: \0",
    "a: {${X}}",
]


@pytest.mark.parametrize("text", SAMPLES)
def test_both_parsers_of_pyyaml_say_the_same(text: str, request: pytest.FixtureRequest) -> None:
    def outcome() -> object:
        table, found = parse_all(source(text))
        return plain(table) if table else [(fault.code, fault.message) for fault in found]

    fast = outcome()
    request.getfixturevalue("pure_parser")
    assert outcome() == fast


def test_order_and_size_survive_a_large_file() -> None:
    names = [f"stage-{n}" for n in range(2000)]
    random.Random(7).shuffle(names)
    text = "stages:\n" + "".join(f"  {name}: {{from: scratch, steps: []}}\n" for name in names)
    node = value(text, "stages")
    assert isinstance(node, Table)
    assert list(node.entries) == names
