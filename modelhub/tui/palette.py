"""The command palette: every action that works on the screen one is on, and every screen, found by its name."""

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from modelhub.tui.actions import ACTIONS, SCOPES, Action
from modelhub.tui.frame import HubScreen

_SCREENS = tuple(action.name for action in ACTIONS if action.does.startswith("screen("))


class ActionCommands(Provider):
    """The table of actions as commands."""

    def _actions(self) -> Iterator[Action]:
        """What works here first, then what other screens can do."""
        here = ("everywhere", self._here)
        known = [action for action in getattr(self.app, "actions", ()) if not action.fixed]
        yield from (action for action in known if action.scope in here)
        yield from (action for action in known if action.scope in _SCREENS and action.scope not in here)

    @property
    def _here(self) -> str:
        return self.screen.NAME if isinstance(self.screen, HubScreen) else ""

    async def discover(self) -> Hits:
        for action in self._actions():
            if action.scope not in ("everywhere", self._here):
                return
            yield DiscoveryHit(_title(action), partial(self._run, action), help=action.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._actions():
            score = max(matcher.match(_title(action)), matcher.match(action.help) * 0.5)
            if score > 0:
                yield Hit(score, matcher.highlight(_title(action)), partial(self._run, action), help=action.help)

    async def _run(self, action: Action) -> None:
        """Do it; what belongs to another screen is not done unseen, but that screen is shown."""
        name = action.does or action.name
        if action.scope == self._here:
            await self.app.run_action(name, default_namespace=self.screen)
        else:
            shown = name if action.scope == "everywhere" else f"screen('{action.scope}')"
            await self.app.run_action(shown, default_namespace=self.app)


def _title(action: Action) -> str:
    where = "" if action.scope == "everywhere" else f"{SCOPES[action.scope]}, "
    return f"{action.label}  ({where}{action.pressed})"
