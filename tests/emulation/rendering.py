"""Prompts and plans of turns that stand for themselves, each with the opening of its own."""

from typing import Any

from gptoss_api.core.turn import Turn
from gptoss_api.emulation import plan
from gptoss_api.emulation.prompt import render
from gptoss_api.emulation.prompt.key import Preamble
from gptoss_api.emulation.prompt.render import Prompt
from gptoss_api.emulation.prompt.tool_section import Style
from gptoss_api.upstreams.base import Capabilities


def render_prompt(turn: Turn, *, style: Style = "ts", **settings: Any) -> Prompt:
    return render.render_prompt(turn, preamble=Preamble(turn, style), **settings)


def render_suffix(turn: Turn, *new: Any, style: Style = "ts", **settings: Any) -> Prompt | None:
    return render.render_suffix(turn, *new, preamble=Preamble(turn, style), **settings)


def make_plan(turn: Turn, capabilities: Capabilities) -> plan.Plan:
    return plan.make_plan(turn, capabilities, preamble=Preamble(turn, "ts"), secret=b"secret")
