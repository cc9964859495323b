"""Chat templates: never run, only looked at for what they can express."""

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
