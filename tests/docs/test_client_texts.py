"""What the Status page has for a client is what ``setup`` writes and what the client's page says."""

import re
import tomllib
from pathlib import Path

import pytest

from gptoss_api.cli.clients.client import Target
from gptoss_api.cli.clients.codex import CLIENT
from gptoss_api.cli.clients.formats import Put

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "src/gptoss_api/web/ui/clients.js"
ADDRESS = "http://127.0.0.1:8000"


def _codex_on_the_page(*, keyed: bool) -> str:
    """The text for Codex's file, as a browser would fill it in."""
    text = PAGE.read_text(encoding="utf-8").split('"~/.codex/config.toml",')[1].split('["In a terminal')[0]
    key = "YOUR_KEY" if keyed else "none"

    def chosen(match: re.Match[str]) -> str:
        return match[2 if keyed else 1].strip("`'")

    text = re.sub(r"\$\{key === NO_KEY \? (`[^`]*`) : ('[^']*')\}", chosen, text)
    for name, value in {"MODEL": "gpt-oss-120b", "base": f"{ADDRESS}/v1", "key": key}.items():
        text = text.replace(f"${{{name}}}", value)
    return text[text.index("`") + 1 : text.rindex("`")]


@pytest.mark.parametrize("keyed", [False, True])
def test_the_page_tells_codex_what_setup_writes(keyed: bool) -> None:
    target = Target(ADDRESS, "gpt-oss-120b", keyed)
    (file,) = CLIENT.files
    written = {edit.path[-1]: edit.value for edit in file.edits(target) if isinstance(edit, Put)}
    shown = tomllib.loads(_codex_on_the_page(keyed=keyed))
    assert shown["model_providers"]["gptoss"] == written["gptoss"]
    assert shown["features"] == {"api_key_model_discovery": written["api_key_model_discovery"]}
    assert (shown["model"], shown["model_provider"]) == (written["model"], written["model_provider"])


def test_the_page_of_codex_has_what_setup_writes() -> None:
    page = (ROOT / "docs/clients/codex.md").read_text(encoding="utf-8")
    shown = tomllib.loads(page.split("```toml\n")[1].split("```")[0])
    assert shown == tomllib.loads(_codex_on_the_page(keyed=False))
    assert CLIENT.first.split('"')[0] in page
