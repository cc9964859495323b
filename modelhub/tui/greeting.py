"""What an empty hub says: what can be done first, and doing it."""

from textual import on
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

_TOLD = """Welcome. This hub is empty.

ModelHub stores each model once, says what it is, and links it into every app."""
_CHOICES = (
    ("screen.scan", "S  Scan a folder of models (Downloads, an app's models folder, a disk)"),
    ("app.screen('targets')", "c  Find the apps to deploy to: ComfyUI, Ollama, LM Studio …"),
    ("app.demo", "   Try it on a sample library in ./modelhub-demo; nothing of yours is touched"),
)


class Greeting(Vertical):
    """Shown in place of the table while there is no model."""

    def __init__(self) -> None:
        super().__init__(id="greeting")

    def compose(self) -> ComposeResult:
        yield Static(_TOLD, markup=False)
        yield OptionList(*(Option(label, id=str(number)) for number, (_, label) in enumerate(_CHOICES)))

    @property
    def choices(self) -> OptionList:
        return self.query_one(OptionList)

    @on(OptionList.OptionSelected)
    async def _chosen(self, event: OptionList.OptionSelected) -> None:
        event.stop()
        await self.app.run_action(_CHOICES[int(event.option_id or 0)][0], default_namespace=self.screen)
