"""Chat templates: never run, only looked at for what they can express, and for what no chat needs.

A template is a program in Jinja. Apps that render it without a sandbox run what it reaches through Python's objects
(CVE-2024-34359 of llama-cpp-python); none of the templates that are meant for chatting names any of that.
"""

import re

_MARKS = {
    "tools": ("tools", "tool_call", "function_call", "available_tools"),
    "thinking": ("<think>", "enable_thinking", "reasoning_content", "<|channel|>analysis", "<seed:think>", "[THINK]"),
    "vision": (
        "<image>",
        "image_url",
        "<|image",
        "<|vision_start|>",
        "'image'",
        '"image"',
        "<start_of_image>",
        "[IMG]",
    ),
    "audio": ("'audio'", '"audio"', "<|audio", "<audio>"),
}


def features(template: str) -> str:
    """What a chat template knows of, as words joined by commas: chat always, and tools, thinking, vision, audio."""
    return ", ".join(["chat", *(name for name, marks in _MARKS.items() if any(mark in template for mark in marks))])


_REACHES_OUT = re.compile(
    r"__\w+__|\\x5f|\\u005f|\\137|\|\s*attr\b|\bgetattr\b|\b(mro|subclasses|globals|builtins|popen|lipsum|cycler)\b"
    r"|\b(os|sys|subprocess|importlib)\.\w|\b(eval|exec)\s*\(",
    re.IGNORECASE,
)
_LONGEST = 1 << 20


def danger(template: str) -> str:
    """The first word by which a template reaches for Python's own objects; empty if it does not."""
    if len(template) > _LONGEST:
        return f"{len(template)} letters"
    found = _REACHES_OUT.search(template)
    return found[0].strip() if found else ""


def danger_message(word: str) -> str:
    return f"Its chat template reaches out of what a template is for ({word[:40]!r}), which can run code in an app."
