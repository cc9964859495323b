"""What the tests of the interface share: a story told by keys, and reading the screen."""

import asyncio
from collections.abc import Awaitable, Callable

from textual.pilot import Pilot
from textual.widgets import Input, Static

from modelhub.services.hub import Hub
from modelhub.tui.app import ModelHubApp
from modelhub.tui.frame import HubScreen

Story = Callable[[ModelHubApp, Pilot[str]], Awaitable[None]]


def told(hub: Hub, story: Story, size: tuple[int, int] = (100, 30)) -> ModelHubApp:
    """Run a story on the interface of a hub."""
    app = ModelHubApp(hub)

    async def run() -> None:
        async with app.run_test(size=size) as pilot:
            await pilot.pause()
            await story(app, pilot)
            for job in app.running:
                job.cancel()
                job.join()

    asyncio.run(run())
    return app


def seen(app: ModelHubApp) -> str:
    """What stands on the screen, line by line."""
    return "\n".join(
        "".join(segment.text for segment in strip) for strip in app.screen._compositor.render_strips(app.screen.size)
    )


def text_of(app: ModelHubApp, selector: str) -> str:
    return str(app.screen.query_one(selector, Static).render())


def notices(app: ModelHubApp) -> str:
    return "\n".join(one.message for one in app._notifications)


async def until(pilot: Pilot[str], true: Callable[[], bool]) -> None:
    for _ in range(300):
        if true():
            return
        await pilot.pause(0.02)
    raise AssertionError(seen(pilot.app) if isinstance(pilot.app, ModelHubApp) else "")


async def goes_to(app: ModelHubApp, pilot: Pilot[str], key: str, screen: type[HubScreen]) -> None:
    """Press a key and be on a screen."""
    await pilot.press(key)
    await until(pilot, lambda: isinstance(app.screen, screen))
    await pilot.pause(0.05)


async def write(pilot: Pilot[str], selector: str, text: str) -> None:
    """Put a text into a field, as if it had been typed."""
    pilot.app.screen.query_one(selector, Input).value = text
    await pilot.pause()


async def say_yes(app: ModelHubApp, pilot: Pilot[str]) -> None:
    await until(pilot, lambda: bool(app.screen.query("#yes")))
    await pilot.press("y")
    await pilot.pause()
