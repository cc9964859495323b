"""The command palette: every action that works on the screen one is on, and every screen, found by its name."""

from collections.abc import Iterator
from functools import partial

from textual.command import DiscoveryHit, Hit, Hits, Provider

from modelhub.tui.actions import Action, remapped
from modelhub.tui.frame import HubScreen


class ActionCommands(Provider):
    """The table of actions as commands."""

    def _actions(self) -> Iterator[Action]:
        screen = self.screen
        scopes = ["everywhere"] + ([screen.NAME] if isinstance(screen, HubScreen) else [])
        actions = getattr(self.app, "actions", remapped({}))
        return (action for action in actions if action.scope in scopes and not action.fixed)

    async def discover(self) -> Hits:
        for action in self._actions():
            yield DiscoveryHit(_title(action), partial(self._run, action), help=action.help)

    async def search(self, query: str) -> Hits:
        matcher = self.matcher(query)
        for action in self._actions():
            score = max(matcher.match(_title(action)), matcher.match(action.help) * 0.5)
            if score > 0:
                yield Hit(score, matcher.highlight(_title(action)), partial(self._run, action), help=action.help)

    async def _run(self, action: Action) -> None:
        name = action.does or action.name
        where = self.app if action.scope == "everywhere" else self.screen
        await self.app.run_action(name, default_namespace=where)


def _title(action: Action) -> str:
    return f"{action.label}  ({action.pressed})"
