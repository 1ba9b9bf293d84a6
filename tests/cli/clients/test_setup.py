"""``gptoss-api setup``: what it writes, what it leaves alone, and that ``--undo`` gives everything back."""

import json
import os
import re
import stat
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from gptoss_api.cli import main
from gptoss_api.cli.clients import NAMES, find_client
from gptoss_api.cli.clients.changes import plan_setup, set_up
from gptoss_api.cli.clients.client import Place, Target
from tests.conftest import RunningGateway, running_gateway

Cli = Callable[..., Result]
KEY = "sesame-open-key-of-the-tests"
posix = pytest.mark.skipif(sys.platform == "win32", reason="modes and links of POSIX")

# What a person has already, with comments where the format has them.
MINE = {
    ".codex/config.toml": '# Mine.\nmodel = "gpt-5" # dear\n\n[features]\nshiny = true\n',
    ".claude/settings.json": '{\n    // Mine.\n    "env": {"EDITOR": "vi"},\n    "theme": "dark",\n}\n',
    ".config/opencode/opencode.json": '{\n\t"provider": {"mine": {}} // keep\n}\n',
    ".qwen/settings.json": '{"modelProviders": {"openai": [{"id": "mine"}]}, "model": {"name": "mine"}}',
    ".cline/data/settings/providers.json": '{"version": 1, "providers": {"anthropic": {"settings": {}}}}',
    ".continue/config.yaml": "name: Mine\nmodels:\n  - name: Mine # 1\n    model: x\n\n# 2\nrules: 1\n",
    ".aider.conf.yml": "# Mine.\ndark-mode: true",
    ".aider.model.metadata.json": '{"mine": {"mode": "chat"}}\n',
    ".config/io.datasette.llm/extra-openai-models.yaml": "- model_id: mine\n  model_name: mine\r\n",
    ".config/io.datasette.llm/default_model.txt": "mine",
    ".config/zed/settings.json": '// Zed settings\n{\n  "vim_mode": true,\n}\n',
    ".config/Code/User/chatLanguageModels.json": '[\n\t{"name": "Mine", "vendor": "ollama"},\n]\n',
}
WITHOUT_FILES = [name for name in NAMES if name != "open-webui"]


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    with running_gateway(tmp_path_factory.mktemp("home"), GPTOSS_UPSTREAM="demo") as running:
        yield running


@pytest.fixture(scope="module")
def keyed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningGateway]:
    home = tmp_path_factory.mktemp("home")
    with running_gateway(home, GPTOSS_UPSTREAM="demo", GPTOSS_API_KEYS=KEY) as running:
        yield running


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in list(os.environ):
        if (
            name.startswith(("GPTOSS_", "XDG_", "CODEX_", "CLAUDE_", "QWEN_", "CONTINUE_", "LLM_"))
            or name == "PORT"
        ):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    return tmp_path


@pytest.fixture
def cli(home: Path, gateway: RunningGateway) -> Cli:
    """Runs ``gptoss-api``, whose gateway is the running one unless ``base_url`` says another."""

    def run(*arguments: str, base_url: str = gateway.base_url) -> Result:
        return CliRunner().invoke(
            main, ["setup", *arguments, *(("--base-url", base_url) if "--undo" not in arguments else ())]
        )

    return run


def _written(home: Path) -> dict[str, tuple[bytes, int]]:
    """Every file but what undoes the setup, with its mode."""
    return {
        str(path.relative_to(home)): (path.read_bytes(), stat.S_IMODE(path.stat().st_mode))
        for path in home.rglob("*")
        if path.is_file() and "setup" not in path.relative_to(home).parts
    }


def _have(home: Path, *, mode: int = 0o640) -> dict[str, tuple[bytes, int]]:
    for name, text in MINE.items():
        path = home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text.encode())
        path.chmod(mode)
    return _written(home)


@pytest.mark.parametrize("name", NAMES)
def test_a_setup_where_nothing_was_leaves_nothing_when_undone(cli: Cli, home: Path, name: str) -> None:
    done = cli(name)
    assert done.exit_code == 0, done.output
    assert "is set up for gpt-oss-120b" in done.output
    made = _written(home)
    assert made
    assert all(mode & 0o077 == 0 for _, mode in made.values())
    assert cli(name).output.startswith(f"{find_client(name).title} was set up already")
    assert _written(home) == made
    assert cli(name, "--undo").exit_code == 0
    assert not [path for path in home.rglob("*") if path.is_file()]
    again = cli(name, "--undo")
    assert (again.exit_code, "nothing" in again.output) == (1, True)


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_what_a_person_has_stays_and_comes_back_byte_for_byte(cli: Cli, home: Path, name: str) -> None:
    mine = _have(home)
    done = cli(name)
    assert done.exit_code == 0, done.output
    changed = [path for path, kept in _written(home).items() if mine[path] != kept]
    assert changed
    for path in changed:
        content, mode = _written(home)[path]
        assert mode == 0o640
        # Every word of it is still there, comments too.
        assert all(word in content.decode() for word in re.findall(r"[\w/#-]+", MINE[path]))
    made = _written(home)
    assert cli(name).exit_code == 0
    assert _written(home) == made
    undone = cli(name, "--undo").output
    assert undone == "".join(f"{home / path} is what it was before.\n" for path in changed)
    assert _written(home) == mine


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_print_shows_what_is_then_written_and_writes_nothing(cli: Cli, home: Path, name: str) -> None:
    mine = _have(home)
    shown = cli(name, "--print").stdout
    assert _written(home) == mine
    assert not (home / ".config/gptoss-api").exists()
    cli(name)
    for path, (content, _) in _written(home).items():
        if mine[path][0] != content:
            assert str(home / path) in shown
            new = set(content.decode().splitlines()) - set(MINE[path].splitlines())
            assert new <= {line[1:] for line in shown.splitlines()}
    assert "dear" not in shown


def test_a_new_file_is_printed_as_it_will_be(cli: Cli, home: Path) -> None:
    head, _, text = cli("codex", "--print").stdout.partition("\n")
    cli("codex")
    assert head == f"# {home / '.codex/config.toml'} (new)"
    assert (home / ".codex/config.toml").read_text() == text


def test_a_choice_of_the_persons_stays_unless_told_otherwise_and_comes_back(cli: Cli, home: Path) -> None:
    mine = _have(home)
    kept = cli("codex").output
    config = home / ".codex/config.toml"
    assert "Your own choice stays (model)" in kept
    assert "codex -c model_provider=gptoss -m gpt-oss-120b" in kept
    assert 'model = "gpt-5" # dear' in config.read_text()
    assert "model_provider =" not in config.read_text()
    assert cli("codex", "--default").exit_code == 0
    assert 'model = "gpt-oss-120b" # dear' in config.read_text()
    assert 'model_provider = "gptoss"' in config.read_text()
    cli("codex", "--undo")
    assert _written(home) == mine


@pytest.mark.parametrize(
    ("name", "path", "theirs"),
    [
        ("codex", ".codex/config.toml", '[model_providers.gptoss]\nname = "mine"\n'),
        ("claude-code", ".claude/settings.json", '{"env": {"ANTHROPIC_BASE_URL": "http://mine"}}'),
        ("opencode", ".config/opencode/opencode.json", '{"provider": {"gptoss": {}}}'),
        ("qwen-code", ".qwen/settings.json", '{"modelProviders": {"openai": [{"id": "gpt-oss-120b"}]}}'),
        ("cline", ".cline/data/settings/providers.json", '{"providers": {"openai-compatible": {}}}'),
        ("continue", ".continue/config.yaml", "models:\n  - name: gpt-oss 120B (gptoss-api)\n"),
        ("aider", ".aider.conf.yml", "openai-api-base: http://mine\n"),
        ("llm", ".config/io.datasette.llm/extra-openai-models.yaml", "- model_id: gpt-oss-120b\n"),
        ("open-webui", ".config/gptoss-api/open-webui.env", "A=1\n"),
        ("zed", ".config/zed/settings.json", '{"language_models": {"openai_compatible": {"gptoss": {}}}}'),
        ("vscode", ".config/Code/User/chatLanguageModels.json",
         '[{"name": "gptoss-api", "vendor": "customendpoint"}]'),
    ],
)  # fmt: skip
def test_a_provider_of_the_same_name_that_is_not_ours_is_left_alone(
    cli: Cli, home: Path, name: str, path: str, theirs: str
) -> None:
    (home / path).parent.mkdir(parents=True, exist_ok=True)
    (home / path).write_text(theirs)
    for option in ((), ("--default",), ("--print",)):
        done = cli(name, *option)
        assert done.exit_code == 1
        assert "is left as it is" in done.output
    # What a person may write there by hand.
    assert "127.0.0.1" in done.stdout
    assert [*_written(home)] == [path]
    assert (home / path).read_text() == theirs


@pytest.mark.parametrize("theirs", ["not [toml", "features.shiny = true\n", "\xff"])
def test_a_file_that_is_not_understood_is_left_alone(cli: Cli, home: Path, theirs: str) -> None:
    config = home / ".codex/config.toml"
    config.parent.mkdir()
    config.write_bytes(theirs.encode("latin-1"))
    done = cli("codex")
    assert done.exit_code == 1
    assert str(config) in done.output
    assert config.read_bytes() == theirs.encode("latin-1")


@pytest.mark.parametrize("name", [name for name in WITHOUT_FILES if name != "llm"])
def test_what_was_added_since_stays_when_it_is_undone(cli: Cli, home: Path, name: str) -> None:
    added = {
        "toml": ("", '\n[projects."/mine"]\ntrust_level = "trusted"\n'),
        "yaml": ("", "\nmine-too: 1\n"),
        "json": ("{", '\n  // Since.\n  "mine-too": 1,'),
        "json-list": ("[", '\n  // Since.\n  {"name": "mine-too"},'),
    }
    _have(home)
    cli(name)
    config = find_client(name).files[0]
    path = config.find()
    start, more = added[config.format]
    before = path.read_text()
    path.write_text(before.replace(start, start + more, 1) if start else before + more)
    assert f"{path} has nothing of ours any more" in cli(name, "--undo").output
    mine = MINE[str(path.relative_to(home))]
    left = path.read_text()
    assert more.strip() in left
    assert "".join(left.replace(more, "").split()) == "".join(mine.split())


@pytest.mark.parametrize("name", ["codex", "opencode", "continue", "vscode"])
def test_what_was_changed_in_ours_since_is_not_taken_back(cli: Cli, home: Path, name: str) -> None:
    mine = _have(home)
    cli(name)
    path = find_client(name).files[0].find()
    path.write_text(path.read_text().replace("/v1", "/v2"))
    changed = path.read_text()
    done = cli(name, "--undo")
    assert done.exit_code == 1
    assert "it has changed since" in done.output
    copy = Path(done.output.split("what it was before is in ")[1].strip().removesuffix("."))
    assert copy.read_bytes() == mine[str(path.relative_to(home))][0]
    assert path.read_text() == changed
    assert cli(name).exit_code == 1
    assert path.read_text() == changed


def test_what_a_client_notes_in_ours_is_no_change(cli: Cli, home: Path) -> None:
    cli("cline")
    path = home / ".cline/data/settings/providers.json"
    ours = json.loads(path.read_text())
    ours["providers"]["openai-compatible"]["updatedAt"] = "2026-05-05T05:05:05.000Z"
    path.write_text(json.dumps({**ours, "modes": {}}))
    assert cli("cline").output.startswith("Cline was set up already")
    assert cli("cline", "--undo").exit_code == 0
    assert json.loads(path.read_text()) == {"version": 1, "modes": {}}


def test_another_address_replaces_the_one_before_and_undo_still_gives_everything_back(
    cli: Cli, home: Path
) -> None:
    mine = _have(home)
    for name in WITHOUT_FILES:
        cli(name)
        done = cli(name, base_url="http://127.0.0.1:9/v1/")
        assert "nothing answers at http://127.0.0.1:9 yet" in done.output
        assert "http://127.0.0.1:9" in "".join(
            config.find().read_text() for config in find_client(name).files
        )
        assert cli(name, "--undo").exit_code == 0
    assert _written(home) == mine


def test_before_a_client_is_tried_its_gateway_is_to_be_started(
    cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = cli("codex", base_url="http://127.0.0.1:9").output
    begun = told.index("First start the gateway")
    assert " serve --port 9\n" in told[begun:]
    assert "Then try it: codex exec" in told[begun:]
    monkeypatch.setenv("PORT", "9")
    (home / "mine.toml").write_text("")
    told = CliRunner().invoke(main, ["setup", "codex", "--config", str(home / "mine.toml")]).output
    assert f" serve --config {home / 'mine.toml'}\n" in told
    told = cli("codex").output
    assert "First" not in told
    assert "Try it: codex exec" in told


def test_a_key_is_never_written_and_one_that_is_no_longer_needed_neither(
    cli: Cli, home: Path, keyed: RunningGateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in NAMES:
        cli(name)
        without = _written(home)
        variable = find_client(name).key_variable or "GPTOSS_API_KEY"
        monkeypatch.setenv(variable, KEY)
        told = cli(name, base_url=keyed.base_url).output
        assert find_client(name).key_variable in told
        assert KEY not in told
        assert not any(KEY.encode() in path.read_bytes() for path in home.rglob("*") if path.is_file())
        assert not any(b'"none"' in content or b": none" in content for content, _ in _written(home).values())
        cli(name)
        assert _written(home) == without
        cli(name, "--undo")


@pytest.mark.parametrize("name", NAMES)
def test_what_stands_for_no_key_goes_once_the_gateway_wants_one(home: Path, name: str) -> None:
    client = find_client(name)
    for keyed in (False, True):
        set_up(client, plan_setup(client, Target("http://127.0.0.1:9", "gpt-oss-120b", keyed)))
    assert not any(b'"none"' in content or b": none" in content for content, _ in _written(home).values())


@posix
def test_a_link_is_followed_and_stays_one(cli: Cli, home: Path) -> None:
    kept = home / "dotfiles" / "codex.toml"
    kept.parent.mkdir()
    kept.write_text("# Mine.\n")
    (home / ".codex").mkdir()
    (home / ".codex/config.toml").symlink_to(kept)
    assert f"Written: {kept}" in cli("codex").output
    assert (home / ".codex/config.toml").is_symlink()
    assert "gptoss" in kept.read_text()
    cli("codex", "--undo")
    assert (home / ".codex/config.toml").is_symlink()
    assert kept.read_text() == "# Mine.\n"


@posix
def test_only_the_owner_can_read_the_copy_and_what_undoes_it(cli: Cli, home: Path) -> None:
    _have(home, mode=0o600)
    cli("codex")
    folder = home / ".config/gptoss-api/setup/codex"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert all(stat.S_IMODE(path.stat().st_mode) == 0o600 for path in folder.iterdir())


def test_a_copy_that_is_gone_is_told(cli: Cli, home: Path) -> None:
    _have(home)
    cli("codex")
    for copy in (home / ".config/gptoss-api/setup/codex").glob("*.toml"):
        copy.unlink()
    done = cli("codex", "--undo")
    assert (done.exit_code, "is gone" in done.output) == (1, True)
    (home / ".config/gptoss-api/setup/codex/receipt.json").write_text("{")
    assert "is damaged" in cli("codex", "--undo").output


def test_a_file_that_the_person_removed_stays_so(cli: Cli, home: Path) -> None:
    _have(home)
    cli("codex")
    (home / ".codex/config.toml").unlink()
    assert cli("codex", "--undo").exit_code == 0
    assert not (home / ".codex/config.toml").exists()


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (("--model", "gpt-4o"), "gpt-4o"),
        (("--base-url", "127.0.0.1:8000"), "did you mean http://127.0.0.1:8000?"),
        (("--base-url", "http://user:secret@127.0.0.1"), "--base-url holds no password"),
        (("--base-url", "http://127.0.0.1/$(id)"), "--base-url is an address such as"),
        (("--base-url", ""), "--base-url is an address such as"),
    ],
)
def test_what_cannot_be_used_is_told(cli: Cli, home: Path, given: tuple[str, str], told: str) -> None:
    done = CliRunner().invoke(main, ["setup", "codex", *given])
    assert done.exit_code == 1
    assert told in done.output
    assert "secret" not in done.output
    assert not _written(home)


def test_the_address_comes_from_the_settings(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST", "0.0.0.0")
    monkeypatch.setenv("PORT", "9")
    monkeypatch.setenv("GPTOSS_API_KEYS", KEY)
    done = CliRunner().invoke(main, ["setup", "codex", "--model", "gpt-oss:20b"])
    assert "set up for gpt-oss-20b at http://127.0.0.1:9/v1" in done.output
    text = (home / ".codex/config.toml").read_text()
    assert 'env_key = "GPTOSS_API_KEY"' in text
    assert KEY not in text


def test_continue_is_not_made_blind_for_its_old_file(cli: Cli, home: Path) -> None:
    old = home / ".continue/config.json"
    old.parent.mkdir()
    old.write_text("{}")
    assert "would no longer read" in cli("continue").output
    assert json.loads(old.read_text()) == {}
    assert not old.with_suffix(".yaml").exists()


def test_opencode_with_comments_keeps_its_own_file(cli: Cli, home: Path) -> None:
    commented = home / ".config/opencode/opencode.jsonc"
    commented.parent.mkdir(parents=True)
    commented.write_text("{} // mine\n")
    cli("opencode")
    assert "gptoss" in commented.read_text()
    assert not commented.with_suffix(".json").exists()


@pytest.mark.parametrize(
    ("place", "environment", "system", "path"),
    [
        (Place(".a/b", "A_HOME"), {}, "linux", "{home}/.a/b"),
        (Place(".a/b", "A_HOME"), {"A_HOME": "/x"}, "linux", "/x/b"),
        (Place(".config/a/b", xdg=True), {"XDG_CONFIG_HOME": "/x"}, "linux", "/x/a/b"),
        (Place(".config/a", others={"darwin": "Library/a"}), {}, "darwin", "{home}/Library/a"),
        (Place(".config/a", others={"win32": "%APPDATA%/a"}), {"APPDATA": "/roaming"}, "win32", "/roaming/a"),
    ],
)
def test_each_system_has_its_places(
    home: Path, place: Place, environment: dict[str, str], system: str, path: str
) -> None:
    assert place.find(environment, system) == Path(path.format(home=home))
