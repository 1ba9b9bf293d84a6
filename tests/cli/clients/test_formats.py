"""Edits of JSON, TOML and YAML: only what is ours changes, and it can be taken out again."""

import json
import re
import tomllib

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gptoss_api.cli.clients.formats import FORMATS, Add, Block, CannotEdit, Edit, Put, Standing, Whole

JSON, TOML, YAML, PLAIN = (FORMATS[name] for name in ("json", "toml", "yaml", "plain"))
PROVIDER = {"base_url": "http://127.0.0.1:8000/v1", "keyed": False}
MODEL = {"id": "gpt-oss-120b", "url": "http://127.0.0.1:8000/v1"}
ADDED = Add(("models", "openai"), MODEL, ("id",))

COMMENTED = """\
// What I like.
{
\t"theme": "dark", // not light
\t/* my own */
\t"provider": {
\t\t"mine": {"url": "http://example.org"}, // keep
\t},
}
"""


def _plain(text: str) -> object:
    """JSON without comments and trailing commas, of texts whose strings have neither."""
    bare = re.sub(r"//[^\n]*|/\*.*?\*/", "", text, flags=re.DOTALL)
    return json.loads(re.sub(r",(\s*[}\]])", r"\1", bare).lstrip("\ufeff"))


def test_json_keeps_comments_indentation_and_trailing_commas() -> None:
    text, _ = JSON.apply(COMMENTED, Put(("provider", "gptoss"), PROVIDER))
    assert text == COMMENTED.replace(
        "// keep\n",
        "// keep\n"
        '\t\t"gptoss": {\n\t\t\t"base_url": "http://127.0.0.1:8000/v1",\n\t\t\t"keyed": false\n\t\t},\n',
    )
    assert JSON.standing(text, Put(("provider", "gptoss"), PROVIDER)) is Standing.SAME


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", '{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("// only this\n", '// only this\n{\n  "a": {\n    "b": 1\n  }\n}\n'),
        ("{}", '{\n  "a": {\n    "b": 1\n  }\n}'),
        ('{"x": 1}', '{"x": 1, "a": {"b": 1}}'),
        ('{"x": 1,}', '{"x": 1, "a": {"b": 1},}'),
        ('{\n  "x": 1 // one\n}', '{\n  "x": 1, // one\n  "a": {\n    "b": 1\n  }\n}'),
        ('{\r\n  "x": 1\r\n}\r\n', '{\r\n  "x": 1,\r\n  "a": {\r\n    "b": 1\r\n  }\r\n}\r\n'),
        ('\ufeff{\n    "x": 1\n}\n', '\ufeff{\n    "x": 1,\n    "a": {\n        "b": 1\n    }\n}\n'),
        ('{\n  "a": {} // mine\n}', '{\n  "a": {\n    "b": 1\n  } // mine\n}'),
        ('{\n  "x": 1 /* a\n  b */\n}', '{\n  "x": 1,\n  "a": {\n    "b": 1\n  } /* a\n  b */\n}'),
    ],
)
def test_json_is_written_in_the_form_of_the_file(before: str, after: str) -> None:
    text, _ = JSON.apply(before, Put(("a", "b"), 1))
    assert text == after


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('{"a": 1', "line 1"),
        ('{"x": 1}\n{"y": 2}', "line 2"),
        ("{'x': 1}", "line 1"),
        ('{"x": 01}', "line 1"),
        ('{"x": "\\q"}', "line 1"),
        ('{"x": 1 "y": 2}', "line 1"),
        ('{"x": 1, "x": 2}', "twice"),
        ('{"a": [1]}', "not an object"),
        ("[1]", "not an object"),
        ("[" * 70 + "]" * 70, "nested"),
    ],
)
def test_json_that_is_not_understood_is_left_alone(text: str, told: str) -> None:
    with pytest.raises(CannotEdit, match=told):
        JSON.standing(text, Put(("a", "b"), 1))


def test_an_element_of_a_list_is_added_once_and_not_beside_anothers() -> None:
    text, before = JSON.apply('{"models": {"openai": [{"id": "other"}]}}', ADDED)
    assert json.loads(text) == {"models": {"openai": [{"id": "other"}, MODEL]}}
    assert JSON.standing(text, ADDED) is Standing.SAME
    assert json.loads(JSON.revert(text, ADDED, before)) == {"models": {"openai": [{"id": "other"}]}}
    taken = '{"models": {"openai": [{"id": "gpt-oss-120b", "url": "http://example.org"}]}}'
    assert JSON.standing(taken, ADDED) is Standing.OTHER
    with pytest.raises(CannotEdit, match="not a list"):
        JSON.standing('{"models": {"openai": {}}}', ADDED)


def test_a_list_as_the_whole_file_gets_an_element() -> None:
    whole = Add((), MODEL, ("id",))
    text, before = FORMATS["json-list"].apply("", whole)
    assert json.loads(text) == [MODEL]
    assert FORMATS["json-list"].is_empty(FORMATS["json-list"].revert(text, whole, before))


def test_a_choice_that_was_replaced_comes_back() -> None:
    for form, text in ((JSON, '{"model": "mine" /* dear */}'), (TOML, "model = 'mine' # dear\n[a]\nb = 1\n")):
        choice = Put(("model",), "gpt-oss-120b", choice=True)
        replaced, before = form.apply(text, choice)
        assert '"gpt-oss-120b"' in replaced
        assert form.revert(replaced, choice, before) == text.replace("'mine'", '"mine"')


# Beside other tests a machine makes inputs slowly.
unhurried = settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=60)
_words = st.sampled_from(["a", "b", "provider", "model", "gptoss", "übung", "x y"])
_values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-9, 99), st.sampled_from(["", "text", "{", "]"])),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(_words, inner, max_size=3),
    max_leaves=6,
)
_gaps = st.sampled_from(["", " ", "\n", "\n  ", " /* c, } */ ", " // c: {\n"])


@st.composite
def _json_texts(draw: st.DrawFn) -> str:
    def written(value: object) -> str:
        gap = draw(_gaps)
        inner: list[str]
        if isinstance(value, dict):
            inner = [f"{draw(_gaps)}{json.dumps(name)}:{written(one)}" for name, one in value.items()]
        elif isinstance(value, list):
            inner = [written(one) for one in value]
        else:
            return gap + json.dumps(value) + draw(_gaps)
        close = draw(st.sampled_from(["", ","])) if inner else ""
        marks = "{}" if isinstance(value, dict) else "[]"
        return f"{gap}{marks[0]}{','.join(inner)}{close}{draw(_gaps)}{marks[1]}{draw(_gaps)}"

    return written(draw(st.dictionaries(_words, _values, max_size=4)))


@unhurried
@given(_json_texts(), st.lists(_words, min_size=1, max_size=3), _values)
def test_any_json_says_one_thing_more_and_then_what_it_said(
    text: str, path: list[str], value: object
) -> None:
    edit = Put(tuple(path), value)
    said = JSON.apply(text, Put(("new",), 0))[0]
    assert JSON.standing(said, Put(("new",), 0)) is Standing.SAME
    try:
        if JSON.standing(text, edit) is not Standing.FREE:
            return
    except CannotEdit:
        return
    made, before = JSON.apply(text, edit)
    assert JSON.standing(made, edit) is Standing.SAME
    # Every comment is still there, and is one.
    assert made.count("c, }") == text.count("c, }")
    assert made.count("c: {") == text.count("c: {")
    back = JSON.revert(made, edit, before)
    assert [one for one in back if not one.isspace()] == [one for one in text if not one.isspace()] or (
        # A comma behind the last member is kept, not made.
        re.sub(r"[\s,]", "", back) == re.sub(r"[\s,]", "", text)
    )


FEATURE = Put(("features", "discovery"), True)
TABLE = Put(("model_providers", "gptoss"), PROVIDER)
CHOICE = Put(("model",), "gpt-oss-120b", choice=True)
CONFIG = """\
# What I like.
approval_policy = "never" # always

[features] # mine
shiny = true

[model_providers.mine]
base_url = "http://example.org" # keep
text = '''
[features]
model = 1
'''
"""


def test_toml_keeps_comments_and_gets_tables_and_keys() -> None:
    text = CONFIG
    for edit in (CHOICE, FEATURE, TABLE):
        text, _ = TOML.apply(text, edit)
    assert text == (
        'model = "gpt-oss-120b"\n'
        + CONFIG.replace("# mine\n", "# mine\ndiscovery = true\n")
        + '\n[model_providers.gptoss]\nbase_url = "http://127.0.0.1:8000/v1"\nkeyed = false\n'
    )


def _put_into(text: str, edit: Edit) -> str:
    TOML.standing(text, edit)
    return TOML.apply(text, edit)[0]


@pytest.mark.parametrize(
    ("text", "edit"),
    [
        ("a = ", CHOICE),
        ("features = 1", FEATURE),
        ("features = { shiny = true }", FEATURE),
        ("features.shiny = true", FEATURE),
        ("model_providers = { mine = { base_url = '' } }", TABLE),
        ("model = '''\nmine'''", Put(("model",), "ours", choice=True)),
    ],
)
def test_toml_in_a_form_that_is_not_understood_is_left_alone(text: str, edit: Edit) -> None:
    with pytest.raises(CannotEdit):
        _put_into(text, edit)


_toml_lines = st.lists(
    st.sampled_from(
        [
            "# [features]",
            "",
            'approval = "never" # yes',
            "[features]",
            "  [features] # mine",
            "shiny = true",
            "list = [\n  1, # one\n  [2],\n]",
            "text = '''\n[features]\n# not one\n'''",
            "[model_providers.mine]",
            'base_url = "x"',
            "[[many]]",
            '["quoted key"]',
            "a.b = 1",
            'other = """\nmodel = 1"""',
        ]
    ),
    max_size=9,
)


@unhurried
@given(_toml_lines, st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_any_toml_says_three_things_more_and_then_what_it_said(
    lines: list[str], end: str, closed: bool
) -> None:
    text = "\n".join(lines).replace("\n", end) + (end if closed and lines else "")
    try:
        said = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return
    edits = [CHOICE, FEATURE, TABLE]
    made, kept = text, []
    try:
        for edit in edits:
            assert TOML.standing(made, edit) is Standing.FREE
            made, before = TOML.apply(made, edit)
            kept.append((edit, before))
    except CannotEdit:
        return
    wanted = {**said, "model": "gpt-oss-120b"}
    wanted["features"] = {**said.get("features", {}), "discovery": True}
    wanted["model_providers"] = {**said.get("model_providers", {}), "gptoss": PROVIDER}
    assert tomllib.loads(made) == wanted
    # No line of it was touched.
    left = iter(made.splitlines())
    assert all(line in left for line in text.splitlines())
    back = made
    for edit, before in reversed(kept):
        back = TOML.revert(back, edit, before)
    assert back.rstrip() == text.rstrip()


LISTED = Block("- name: ours\n  url: http://127.0.0.1:8000/v1\n", r"name: ours", "the model ours", "models")
ENTRY = Block("model: ours", r"^model[ ]*:", "model")
TOP = Block("- name: ours\n", r"name: ours", "the model ours")


@pytest.mark.parametrize(
    ("edit", "before", "after"),
    [
        (ENTRY, "", "model: ours\n"),
        (ENTRY, "a: 1", "a: 1\nmodel: ours\n"),
        (ENTRY, "a: 1\r\n", "a: 1\r\nmodel: ours\r\n"),
        (ENTRY, "---\na: |\n  model: x\n\n# end\n", "---\na: |\n  model: x\nmodel: ours\n\n# end\n"),
        (TOP, "# mine\n- name: x\n", "# mine\n- name: x\n- name: ours\n"),
        (LISTED, "a: 1\n", "a: 1\nmodels:\n  - name: ours\n    url: http://127.0.0.1:8000/v1\n"),
        (
            LISTED,
            "models: # mine\n    - name: x # one\n      roles: [chat]\n\n# rules\nrules: []\n",
            "models: # mine\n    - name: x # one\n      roles: [chat]\n"
            "    - name: ours\n      url: http://127.0.0.1:8000/v1\n\n# rules\nrules: []\n",
        ),
        (LISTED, "models:\n- name: x\nb: 1\n",
         "models:\n- name: x\n- name: ours\n  url: http://127.0.0.1:8000/v1\nb: 1\n"),
    ],
)  # fmt: skip
def test_yaml_gets_lines_where_they_belong_and_loses_them_again(edit: Block, before: str, after: str) -> None:
    assert YAML.standing(before, edit) is Standing.FREE
    text, made = YAML.apply(before, edit)
    assert text == after
    assert YAML.standing(text, edit) is Standing.SAME
    assert YAML.revert(text, edit, made).rstrip() == before.rstrip()


@pytest.mark.parametrize(
    ("edit", "text"),
    [
        (ENTRY, "- a\n"),
        (ENTRY, "{a: 1}\n"),
        (ENTRY, "a: 1\n---\nb: 2\n"),
        (ENTRY, 'a: "one\n  two"\n'),
        (ENTRY, "\ta: 1\n"),
        (ENTRY, "%YAML 1.2\n---\na: 1\n"),
        (TOP, "a: 1\n"),
        (LISTED, "- a\n"),
        (LISTED, "models: []\n"),
        (LISTED, "models: &all\n  - a\n"),
        (LISTED, "models:\n  a: 1\n"),
    ],
)
def test_yaml_in_a_form_that_is_not_understood_is_left_alone(edit: Block, text: str) -> None:
    with pytest.raises(CannotEdit):
        YAML.standing(text, edit)


def test_yaml_of_others_is_seen() -> None:
    assert YAML.standing("model: theirs\n", ENTRY) is Standing.OTHER
    assert YAML.standing("models:\n  - name: ours\n    url: elsewhere\n", LISTED) is Standing.OTHER
    with pytest.raises(CannotEdit, match="already"):
        YAML.apply("model: theirs\n", ENTRY)


def test_a_whole_file_is_ours_only_where_there_was_none() -> None:
    whole = Whole("gpt-oss-120b")
    assert PLAIN.standing("", whole) is Standing.FREE
    assert PLAIN.standing("gpt-oss-120b\n", whole) is Standing.SAME
    assert PLAIN.standing("gpt-4o", whole) is Standing.OTHER
    text, before = PLAIN.apply("gpt-4o", whole)
    assert (text, PLAIN.revert(text, whole, before)) == ("gpt-oss-120b", "gpt-4o")
