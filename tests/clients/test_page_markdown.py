"""Markdown of the page, in a real Chromium: what becomes of it, in whatever pieces it comes, and how soon."""

import random
from collections.abc import Iterator

import pytest
from playwright.sync_api import Page

from tests.conftest import RunningGateway

from .browser import chromium, visit

# Renders in pieces and gives the elements back as short HTML: without classes, buttons and boxes.
RENDER = """
async pieces => {
    const {Markdown} = await import("/ui/markdown.js");
    const element = document.createElement("div");
    const markdown = new Markdown(element);
    let text = "";
    for (const piece of pieces) markdown.update(text += piece);
    markdown.update(text, true);
    for (const figure of element.querySelectorAll("figure")) {
        const pre = document.createElement("pre");
        pre.textContent = figure.querySelector("code").textContent;
        pre.setAttribute("lang", figure.querySelector("figcaption span").textContent);
        figure.replaceWith(pre);
    }
    for (const box of element.querySelectorAll(".table-box")) box.replaceWith(box.firstChild);
    for (const maths of element.querySelectorAll(".maths")) {
        const node = document.createElement("math");
        node.textContent = maths.textContent;
        maths.replaceWith(node);
    }
    for (const node of element.querySelectorAll("*")) {
        for (const {name} of [...node.attributes]) {
            if (!["href", "lang", "start", "checked"].includes(name)) node.removeAttribute(name);
        }
    }
    return element.innerHTML;
}
"""
TABLE = "<table><thead><tr><th>a</th><th>b</th></tr></thead><tbody>{}</tbody></table>"

RENDERED = {
    "Plain text\nin two lines": "<p>Plain text\nin two lines</p>",
    "**b** *i* ***bi***": "<p><strong>b</strong> <em>i</em> <em><strong>bi</strong></em></p>",
    "__b__ _i_ ~~d~~ ~x~": "<p><strong>b</strong> <em>i</em> <del>d</del> ~x~</p>",
    "snake_case_name 2*3*4 ** x": "<p>snake_case_name 2<em>3</em>4 ** x</p>",
    "**unfinished `code": "<p>**unfinished `code</p>",
    "*a **b* c**": "<p><em>a <em><em>b</em> c</em></em></p>",
    "`a * b` and `` x`y ``": "<p><code>a * b</code> and <code>x`y</code></p>",
    r"\*not\* \`this\`": "<p>*not* `this`</p>",
    "# One\n## Two ##\n#### Four\n#none": "<h2>One</h2><h3>Two</h3><h4>Four</h4><p>#none</p>",
    "### Deep at once": "<h2>Deep at once</h2>",
    "a\n\n---\n\nb": "<p>a</p><hr><p>b</p>",
    "- a\n- b\n  - c\n\nd": "<ul><li>a</li><li>b<ul><li>c</li></ul></li></ul><p>d</p>",
    "3. a\n4. b": '<ol start="3"><li>a</li><li>b</li></ol>',
    "1. a\n\n   more\n\n2. b": "<ol><li><p>a</p><p>more</p></li><li><p>b</p></li></ol>",
    "* a\n    ```py\n    x\n    ```\n* b": '<ul><li>a<pre lang="py">x</pre></li><li>b</li></ul>',
    "- [x] a\n- [ ] b": '<ul><li><input checked="">a</li><li><input>b</li></ul>',
    "> a\n> > b\n\nc": "<blockquote><p>a</p><blockquote><p>b</p></blockquote></blockquote><p>c</p>",
    "```python\nif x:\n\n    y\n```\nafter": '<pre lang="python">if x:\n\n    y</pre><p>after</p>',
    "```\nnever closed": '<pre lang="text">never closed</pre>',
    "~~~~\n```\n~~~\n~~~~": '<pre lang="text">```\n~~~</pre>',
    "a:\n\n    indented\n      more\n\nb": '<p>a:</p><pre lang="text">indented\n  more</pre><p>b</p>',
    "| a | b |\n|---|:-:|\n| 1 | `x|y` |\n| 2 |\n\nz": TABLE.format(
        "<tr><td>1</td><td><code>x|y</code></td></tr><tr><td>2</td><td></td></tr>"
    )
    + "<p>z</p>",
    "Before\n| a | b |\n|---|---|\n| 1<br>2 | 3 |": "<p>Before</p>"
    + TABLE.format("<tr><td>1<br>2</td><td>3</td></tr>"),
    "| no | table |": "<p>| no | table |</p>",
    '[a *b*](https://x.example/y "t") <https://z.example>': (
        '<p><a href="https://x.example/y">a <em>b</em></a> <a href="https://z.example/">https://z.example</a></p>'
    ),
    "See https://x.example/a_(b)_c, (https://y.example).": (
        '<p>See <a href="https://x.example/a_(b)_c">https://x.example/a_(b)_c</a>, '
        '(<a href="https://y.example/">https://y.example</a>).</p>'
    ),
    "[a](javascript:alert(1)) [b](JaVaScRiPt:x) [c](data:text/html,x) [d](//x.example) [e](#x) [f](/x)": (
        "<p><span>a</span> <span>b</span> <span>c</span> <span>d</span> <span>e</span> <span>f</span></p>"
    ),
    "![a picture](https://x.example/p.png)": '<p><a href="https://x.example/p.png">a picture</a></p>',
    "<b onclick=x>a</b> &lt;i&gt; &amp;amp;": ("<p>&lt;b onclick=x&gt;a&lt;/b&gt; &lt;i&gt; &amp;amp;</p>"),
    r"\(a_1 * b_2 * c\) and $x_i^2$": "<p><math>a_1 * b_2 * c</math> and <math>x_i^2</math></p>",
    "for $5 and $6": "<p>for $5 and $6</p>",
    "So\n$$\na_1\n= b\n$$\nand\n\\[ x \\]": "<p>So</p><math>a_1\n= b</math><p>and</p><math>x</math>",
    "a  \nb\\\nc": "<p>a<br>b<br>c</p>",
    "": "",
    "\n\n  \n": "",
}

N = 100_000
LONG = {
    "spaces": "a" + " " * N + "b",
    "spaces after hashes": "# " + " #" * N + "x",
    "stars": "*" * N,
    "stars in words": "a*" * N,
    "opening stars": "*a " * N,
    "nested emphasis": "*a **b " * N,
    "brackets": "[" * N,
    "closing brackets": "[a](" * N,
    "backticks": " ".join("`" * (length % 300) for length in range(600)),
    "quotes": "> " * N,
    "lists": "- " * N,
    "bars": "|" * N + "\n" + "|-" * N,
    "formulas": "\\(" * N,
    "dollars": "$a" * N,
    "money": "$$\n" * N,
    "addresses": "<http://a" * (N // 8),
    "addresses in brackets": "http://" + ")" * N,
    "entities": "&amp" * N,
    "fences": "```\n" * (N // 20),
    "dashes": "- " * N + "x",
    "rules": "-" + " " * N + "-",
    "table rules": "a | b\n--" + " " * N + "x",
}


@pytest.fixture(scope="module")
def page(demo: RunningGateway) -> Iterator[Page]:
    with chromium() as browser, visit(browser, demo.base_url) as visiting:
        visiting.open()
        yield visiting.page


@pytest.mark.parametrize("text", RENDERED)
def test_markdown_becomes_elements_in_whatever_pieces_it_comes(page: Page, text: str) -> None:
    assert page.evaluate(RENDER, [text]) == RENDERED[text]
    assert page.evaluate(RENDER, list(text)) == RENDERED[text]


def test_a_long_answer_is_the_same_in_any_pieces(page: Page) -> None:
    chosen = random.Random(7)
    for _ in range(20):
        text = "\n\n".join(chosen.sample(sorted(RENDERED), 12))
        pieces = []
        left = text
        while left:
            size = chosen.randint(1, 30)
            pieces.append(left[:size])
            left = left[size:]
        assert page.evaluate(RENDER, pieces) == page.evaluate(RENDER, [text]), text


@pytest.mark.parametrize("kind", LONG)
def test_no_text_holds_the_page_up(page: Page, kind: str) -> None:
    took = page.evaluate(
        """async text => {
            const {Markdown} = await import("/ui/markdown.js");
            const began = performance.now();
            new Markdown(document.createElement("div")).update(text, true);
            return performance.now() - began;
        }""",
        LONG[kind],
    )
    assert took < 5000


def test_code_is_coloured_without_a_character_being_lost(page: Page) -> None:
    colours = page.evaluate(
        """async ([code, language]) => {
            const {highlight} = await import("/ui/highlight.js");
            const element = document.createElement("code");
            element.append(...highlight(code, language));
            const spans = [...element.children].map(node => [node.className, node.textContent]);
            return [element.textContent, spans];
        }""",
        ['def f(a=1):  # it\'s "x"\n    return "\\"s\\""', "python"],
    )
    assert colours == [
        'def f(a=1):  # it\'s "x"\n    return "\\"s\\""',
        [
            ["code-keyword", "def"],
            ["code-number", "1"],
            ["code-comment", '# it\'s "x"'],
            ["code-keyword", "return"],
            ["code-string", '"\\"s\\""'],
        ],
    ]
