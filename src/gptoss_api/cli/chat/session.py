"""A conversation at the terminal: messages, and commands that begin with a slash."""

import difflib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from .conversation import Conversation, Said, as_unicode, full_name
from .lines import Lines
from .screen import Screen, harmless
from .source import Failed, Heard, Source

EFFORTS: Final = ("low", "medium", "high")

_HELP: Final = """\
/model NAME     ask another model; without a name, say which there are
/effort LEVEL   low, medium or high
/system TEXT    instructions for the model; /system off removes them
/new            begin a new conversation
/retry          ask the last question again
/save FILE      keep the conversation, as JSON if the file ends with .json, else as Markdown
/help           this list
/exit           end, as Ctrl-D does
A line that ends with \\ goes on in the next one. \"\"\" begins a message of several lines, and ends it.
A message that begins with // begins with one slash. Ctrl-C stops an answer."""


class Session:
    """Asks ``source`` what a person types until they want no more."""

    def __init__(self, source: Source, conversation: Conversation, screen: Screen) -> None:
        self._source = source
        self._conversation = conversation
        self._screen = screen
        self._last_question = ""
        self._saved: set[Path] = set()
        self._commands: dict[str, Callable[[str], None]] = {
            "/model": self._model,
            "/effort": self._effort,
            "/system": self._system,
            "/new": self._new,
            "/retry": self._retry,
            "/save": self._save,
            "/help": self._help,
            "/exit": self._exit,
        }
        self._lines = Lines(tuple(self._commands))
        self._over = False

    def run(self) -> None:
        """Returns when the person ends it."""
        self._screen.note(
            f"{self._conversation.model} by {self._source.where}. /help lists the commands, Ctrl-D ends."
        )
        while not self._over:
            try:
                text = self._lines.message()
            except EOFError:
                self._screen.note("")
                return
            except KeyboardInterrupt:
                self._screen.note("\nCtrl-D ends.")
                continue
            try:
                self._take(text)
            except KeyboardInterrupt:
                # A second one, or one that came while nothing was asked.
                self._screen.note("\nStopped.")

    def _take(self, text: str) -> None:
        text = as_unicode(text)
        if text.startswith("//"):
            self._ask(text[1:])
        elif text.startswith("/"):
            name, _, rest = text.partition(" ")
            self._command(name, rest.strip())
        elif text.strip():
            self._ask(text)

    def _command(self, name: str, rest: str) -> None:
        # What others have for it.
        name = {"/quit": "/exit", "/bye": "/exit", "/clear": "/new", "/?": "/help"}.get(name, name)
        if (command := self._commands.get(name)) is not None:
            command(rest)
            return
        near = difflib.get_close_matches(name, self._commands, 1, 0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        self._screen.note(
            f"There is no command {name}.{hint} /help lists them; // begins a message with a slash."
        )

    def _ask(self, question: str) -> None:
        conversation, screen = self._conversation, self._screen
        self._last_question = question
        conversation.said.append(Said("user", question))
        heard = Heard(screen)
        try:
            self._hear(heard)
        finally:
            if text := "".join(heard.text):
                # Also one that was stopped: the person saw it and may refer to it.
                conversation.said.append(Said("assistant", text))
            else:
                conversation.said.pop()

    def _hear(self, heard: Heard) -> None:
        screen = self._screen
        try:
            self._source.ask(self._conversation, heard)
        except KeyboardInterrupt:
            screen.end()
            screen.note("Stopped. /retry asks again.")
        except Failed as failure:
            screen.end()
            screen.fail(str(failure))
        else:
            screen.end()
            self._tell(heard)

    def _tell(self, heard: Heard) -> None:
        if heard.finish_reason == "length":
            self._screen.note("The answer was cut: it is as long as it may be. Ask it to go on.")
        for note in heard.notes:
            self._screen.note(f"Note: {note}")

    def _model(self, name: str) -> None:
        try:
            names = self._source.models()
        except Failed as failure:
            self._screen.fail(str(failure))
            return
        name = full_name(name)
        if name and names and name not in names:
            self._screen.note(f"There is no model {name}. There are: {', '.join(names)}.")
            return
        if name:
            self._conversation.model = name
        else:
            self._screen.note(f"There are: {', '.join(names) or 'none that are known'}.")
        self._screen.note(f"Answers come from {self._conversation.model}.")

    def _effort(self, level: str) -> None:
        if level and level not in EFFORTS:
            self._screen.note(f"The effort is one of {', '.join(EFFORTS)}.")
            return
        self._conversation.effort = level or self._conversation.effort
        self._screen.note(f"The effort is {self._conversation.effort or 'medium'}.")

    def _system(self, text: str) -> None:
        if text:
            self._conversation.system = "" if text == "off" else text
        shown = self._conversation.system
        self._screen.note(f"The model is instructed: {shown}" if shown else "The model has no instructions.")

    def _new(self, rest: str) -> None:
        self._conversation.said.clear()
        self._last_question = ""
        self._screen.note("A new conversation.")

    def _retry(self, rest: str) -> None:
        if not self._last_question:
            self._screen.note("Nothing was asked yet.")
            return
        said = self._conversation.said
        if len(said) >= 2 and said[-2] == Said("user", self._last_question):
            del said[-2:]
        self._ask(self._last_question)

    def _save(self, name: str) -> None:
        if not name or not self._conversation.said:
            self._screen.note("Nothing was said yet." if name else "Say where: /save FILE")
            return
        file = Path(name).expanduser()
        conversation = self._conversation
        text = conversation.as_json() if file.suffix == ".json" else harmless(conversation.as_markdown())
        again = os.O_TRUNC if file.resolve() in self._saved else os.O_EXCL
        try:
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | again, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as saved:
                saved.write(text)
        except FileExistsError:
            self._screen.note(f"{file} is there already and stays as it is; choose another name.")
        except (OSError, ValueError) as error:
            self._screen.fail(f"{file}: {getattr(error, 'strerror', None) or error}")
        else:
            self._saved.add(file.resolve())
            self._screen.note(f"Saved in {file}.")

    def _help(self, rest: str) -> None:
        self._screen.note(_HELP)

    def _exit(self, rest: str) -> None:
        self._over = True
