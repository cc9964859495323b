"""The library screen: every model, filtered while one types, chosen, and what can be done with what is chosen."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from textual import on, work
from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.timer import Timer
from textual.widgets import Input, Static

from modelhub.core.errors import InvalidInput, ModelHubError
from modelhub.core.events import Task
from modelhub.core.names import counted, human_size, printable
from modelhub.core.places import expand
from modelhub.core.query import Term, parse
from modelhub.core.types import Adopt, Listed, Model
from modelhub.files.sealing import Sealing
from modelhub.services import inventory
from modelhub.services.hub import Hub
from modelhub.services.search import Narrowing
from modelhub.tui import describe
from modelhub.tui.actions import bindings
from modelhub.tui.details import DetailsScreen
from modelhub.tui.dialogs import Ask, Choose, Field, Form
from modelhub.tui.entries import COLUMNS, ORDERS, Entry
from modelhub.tui.frame import NARROW, HubScreen
from modelhub.tui.greeting import Greeting
from modelhub.tui.jobs import quick
from modelhub.tui.scanning import ScanScreen
from modelhub.tui.table import Header, LineTable, layout

_FIELDS = ("type", "base", "tag")
"""Fields of their own beside the one that takes the whole language."""
_FIRST = 500
"""Rows fetched before the rest, so that something is seen at once."""
_NONE_FIT = "No model fits these filters. Press r to clear them."
_PREVIEW_SECONDS = 0.15
"""The cursor rests so long before the preview follows it."""


class LibraryScreen(HubScreen):
    """Filters above, table and preview in the middle, what is shown of how much beneath."""

    NAME = "library"
    BINDINGS = bindings("library")

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._entries = Narrowing[Entry]()
        self._shown: list[Entry] = []
        self._size_shown = 0
        self._sorted_by, self._turned = 0, False
        self._unlisted = False
        self._links = True
        self._marked: set[int] = set()
        self._last_marked: object = None
        self._wrong = ""
        self._asked: tuple[Term, ...] = ()
        self._preview: bool | None = None
        self._previewing: Timer | None = None
        self._loaded = False

    def content(self) -> ComposeResult:
        with Horizontal(id="filters"):
            yield Input(placeholder="Filter: words, type:lora size:>2G is:deployed …", id="query", compact=True)
            for field in _FIELDS:
                yield Input(placeholder=field.capitalize(), id=field, compact=True)
        with Horizontal(id="middle"):
            with Vertical():
                yield Header(COLUMNS)
                yield LineTable(COLUMNS, id="models", page=self.hub.settings.page_size)
            yield VerticalScroll(Static(id="about", markup=False), id="aside", can_focus=False)
        yield Static(id="empty", markup=False)
        yield Greeting()
        yield Static(id="count", markup=False)

    def on_mount(self) -> None:
        self.table.marked = self._marked
        self.query_one(Header).sorted_by = (COLUMNS[0].name, False)
        self.watch(self.table, "cursor", self._count, init=False)  # in the same frame as the table itself
        self.set_focus(self.table)
        super().on_mount()

    @property
    def table(self) -> LineTable:
        return self.query_one(LineTable)

    def _focus_rows(self) -> None:
        greeting = self.query_one(Greeting)
        self.set_focus(greeting.choices if greeting.display else self.table)

    # What there is

    def shown(self) -> None:
        """Fetch everything again: at the start a first screenful at once, the rest in a thread."""
        if not self._loaded:
            self._take(self._fetched(limit=_FIRST))
            self._loaded = True
            if len(self._entries.all) < _FIRST:
                return
        self._fetch_all()

    def _fetched(self, *, limit: int | None = None, after: int = 0) -> list[Entry]:
        return [Entry(one) for one in self.hub.models.listed(limit=limit, after=after)]

    @work(thread=True, exclusive=True, group="fetch", exit_on_error=False)
    def _fetch_all(self) -> None:
        self.app.call_from_thread(self._take, self._fetched())

    def take_new(self) -> None:
        """Models that came since; quick enough to be asked while a scan runs."""
        newest = max((entry.listed.id for entry in self._entries.all), default=0)
        try:
            new = self._fetched(after=newest)
        except ModelHubError:
            return  # the end of the task says what is wrong
        if new:
            self._take([*self._entries.all, *new])

    def _take(self, entries: list[Entry]) -> None:
        entries.sort(key=ORDERS[self._sorted_by], reverse=self._turned)
        self._entries.take(entries)
        self._marked &= {entry.key for entry in entries}
        self._show(filtered=False)

    # Filters

    @on(Input.Changed)
    def _typed(self) -> None:
        self._show()

    @on(Input.Submitted)
    def _typed_enough(self) -> None:
        self._focus_rows()

    def _terms(self) -> list[Term]:
        """What is asked for; while something is typed that cannot be asked, what was asked before still holds."""
        self._wrong = ""
        terms: list[Term] = []
        try:
            self._asked = parse(self.query_one("#query", Input).value)
        except InvalidInput as error:
            self._wrong = f"{error.message} {error.hint}"
        terms += self._asked
        for field in _FIELDS:
            value = self.query_one(f"#{field}", Input).value.strip().casefold()
            terms += [Term(field, (value,))] if value else []
        return [*terms, Term("is", ("listed",), "is", negated=True)] if self._unlisted else terms

    def _show(self, *, filtered: bool = True) -> None:
        terms = self._terms()
        self._shown = self._entries.fit(terms)
        self._size_shown = sum(entry.listed.size for entry in self._shown)
        words = [value for term in terms if term.field in ("", "name") and not term.negated for value in term.values]
        self.table.show(self._shown, words, filtered=filtered)
        nothing = not self._entries.all
        greeting = self.query_one(Greeting)
        if greeting.display != nothing:
            greeting.display = nothing
            self.call_after_refresh(self._focus_rows)
        self.query_one("#middle").display = not nothing
        empty = self.query_one("#empty", Static)
        empty.display = not self._shown and not nothing
        empty.update(_NONE_FIT)
        self._count()

    def _count(self) -> None:
        shown, row = len(self._shown), self.table.cursor + 1
        parts = [f"{shown:,} of {counted(len(self._entries.all), 'model')}, {human_size(self._size_shown)}"]
        if self._marked:
            parts.append(f"{len(self._marked):,} selected")
        if shown > 1:
            parts.append(f"row {row:,}")
        parts.append(f"links {'on' if self._links else 'off'}")
        parts += ["without Civitai data"] if self._unlisted else []
        told = self._wrong or "  ·  ".join(parts)
        self.query_one("#count", Static).update(f" {told}", layout=False)

    @on(LineTable.Moved)
    def _moved(self) -> None:
        if self._preview_wanted:
            if self._previewing is not None:
                self._previewing.stop()
            self._previewing = self.set_timer(_PREVIEW_SECONDS, self._look)

    # Preview

    @property
    def _preview_wanted(self) -> bool:
        return self.size.width >= NARROW if self._preview is None else self._preview

    def on_resize(self) -> None:
        super().on_resize()
        self.query_one("#aside").display = self._preview_wanted
        self.query_one("#middle").styles.layout = "vertical" if self.size.width < NARROW else "horizontal"
        self._moved()

    def action_preview(self) -> None:
        self._preview = not self._preview_wanted
        self.on_resize()

    @work(thread=True, exclusive=True, group="preview", exit_on_error=False)
    def _look(self) -> None:
        entry = self.table.current
        if isinstance(entry, Entry):
            try:
                about = describe.preview(self.hub.models.details(str(entry.listed.id)))
            except ModelHubError:
                return  # it went meanwhile
            self.app.call_from_thread(self.query_one("#about", Static).update, about)

    # Moving about

    def action_filter(self) -> None:
        self.set_focus(self.query_one("#query", Input))

    def action_reset(self) -> None:
        for field in ("query", *_FIELDS):
            self.query_one(f"#{field}", Input).value = ""
        self._unlisted = False
        self._show()
        self._focus_rows()

    def action_sort(self) -> None:
        shown = [place for place, _, _ in layout(COLUMNS, self.table.size.width)]
        self._sort(next((place for place in shown if place > self._sorted_by), shown[0]), turned=False)

    def action_order(self) -> None:
        self._sort(self._sorted_by, turned=not self._turned)

    @on(Header.Pressed)
    def _pressed(self, event: Header.Pressed) -> None:
        place = COLUMNS.index(event.column)
        self._sort(place, turned=place == self._sorted_by and not self._turned)

    def _sort(self, place: int, *, turned: bool) -> None:
        self._sorted_by, self._turned = place, turned
        self.query_one(Header).sorted_by = (COLUMNS[place].name, turned)
        self._take(self._entries.all)

    def key_escape(self) -> None:
        self._focus_rows()

    def action_unlisted(self) -> None:
        self._unlisted = not self._unlisted
        self._show()

    def action_links(self) -> None:
        self._links = not self._links
        self._count()

    # Selecting

    def action_mark(self) -> None:
        current = self.under_cursor
        if current is not None:
            self._marked ^= {current.id}
            self._last_marked = current.id
            self.table.action_move(1)
            self._marks_changed()

    def action_range(self) -> None:
        keys = [entry.key for entry in self._shown]
        first = keys.index(self._last_marked) if self._last_marked in keys else self.table.cursor
        low, high = sorted((first, self.table.cursor))
        self._marked.update(keys[low : high + 1])
        self._marks_changed()

    def action_all(self) -> None:
        shown = {entry.key for entry in self._shown}
        self._marked.symmetric_difference_update(shown if shown <= self._marked else shown - self._marked)
        self._marks_changed()

    def _marks_changed(self) -> None:
        self.table.refresh()
        self._count()

    @property
    def selected(self) -> list[Listed]:
        """The marked models; the one under the cursor, if none is."""
        if self._marked:
            return [entry.listed for entry in self._entries.all if entry.key in self._marked]
        current = self.under_cursor
        return [] if current is None else [current]

    @property
    def marked(self) -> frozenset[int]:
        return frozenset(self._marked)

    @property
    def under_cursor(self) -> Listed | None:
        current = self.table.current
        return current.listed if isinstance(current, Entry) else None

    def _models(self, listed: Sequence[Listed]) -> Callable[[], list[Model]]:
        """These models, to be fetched in a job's thread."""
        ids = [one.id for one in listed]
        return lambda: self.hub.models.of_ids(ids)

    # Actions

    @on(LineTable.Chosen)
    def action_details(self) -> None:
        one = self.under_cursor
        if one is not None:
            screen = self.attempt(lambda: DetailsScreen(self.hub, one.id))
            if screen is not None:
                self.app.push_screen(screen)

    def action_scan(self) -> None:
        adopt: Adopt = self.hub.settings.adopt if self._links else "copy"
        self.app.push_screen(ScanScreen(self.hub, adopt))

    def action_deploy(self) -> None:
        self.main.action_screen("deploy")

    def action_delete(self) -> None:
        chosen = self.selected
        if chosen == [self.under_cursor]:
            self._deleted(sure=True)
        elif chosen:
            size = human_size(sum(one.size for one in chosen))
            question = f"Put {_named(chosen)} ({size}) into the trash? Links go, files stay."
            self.app.push_screen(Ask(question, "Delete"), self._deleted)

    def _deleted(self, sure: bool | None) -> None:
        if sure:
            self.main.delete(_named(self.selected), self._models(self.selected))

    def action_undo(self) -> None:
        self.main.undo()

    def action_hash(self) -> None:
        chosen, models = self.selected, self._models(self.selected)
        if chosen:
            self.main.start(
                f"Hash files of {_named(chosen)}",
                lambda: self.hub.hash_files.write(models()),
                lambda done: f"{counted(done.written, 'hash file')} written, {done.there} there.",
            )

    def action_lookup(self) -> None:
        chosen, models = self.selected, self._models(self.selected)
        if chosen:
            self.main.start(
                f"Look up {_named(chosen)}",
                lambda: self.hub.lookup.run(models(), again=True),
                lambda done: f"{done.models} asked about, {done.found} found, {done.changed} changed.",
            )

    def action_reclassify(self) -> None:
        chosen = self.selected
        choices = [("selected", _named(chosen) + (", selected" if self._marked else ""))] if chosen else []
        choices += [("filtered", f"all {len(self._shown):,} that are shown")]
        choices += [("stale", "stale ones: judged by other rules"), ("all", f"all {len(self._entries.all):,}")]
        self.app.push_screen(Choose("Judge again by the rules in force", choices), self._reclassify)

    def _reclassify(self, which: str | None) -> None:
        if which is None:
            return
        listed = {"selected": self.selected, "filtered": [entry.listed for entry in self._shown]}
        models = self._models(listed.get(which, [entry.listed for entry in self._entries.all]))
        self.main.start(
            f"Reclassify {which}",
            lambda: self.hub.models.reclassify(None if which == "stale" else models()),
            lambda done: f"{done.models} judged, {done.changed} changed.",
        )

    def action_export(self) -> None:
        what = [("filtered", f"the {len(self._shown):,} that are shown")]
        if self._marked:
            what.insert(0, ("selected", f"the {len(self._marked):,} selected"))
        forms = [("csv", "CSV"), ("json", "JSON"), ("yaml", "YAML"), ("bundle", "bundle: a folder with the files too")]
        fields = [
            Field("what", "Models", what[0][0], choices=tuple(what)),
            Field("form", "Form", "csv", choices=tuple(forms)),
            Field("target", "File, or folder of the bundle", "models.csv", is_folder=True),
            Field("recipient", "Encrypt the bundle for this age or SSH public key; empty: do not"),
        ]
        self.app.push_screen(
            Form("Export", fields, self._export, "A file that stands there is written over.", "Export")
        )

    def _export(self, given: Mapping[str, str]) -> None:
        if not given["target"]:
            raise InvalidInput("It needs a place.", hint="Name a file, or the folder of the bundle.")
        chosen = self.selected if given["what"] == "selected" else [entry.listed for entry in self._shown]
        models, target, form = self._models(chosen), expand(given["target"]), given["form"]
        cipher = Sealing([given["recipient"].strip()]) if given["recipient"].strip() else None
        if cipher is not None and form != "bundle":
            raise InvalidInput("Only a bundle is encrypted.", hint="Choose the bundle, or leave the key empty.")

        def make() -> Task[Any]:
            if form == "bundle":
                return self.hub.bundles.write(target, models(), cipher)
            wanted = next(one for one in inventory.FORMS if one == form)
            return quick(lambda: inventory.save(target, wanted, models()))

        self.main.start(f"Export to {target}", make, lambda _: f"{counted(len(chosen), 'model')} written to {target}.")


def _named(listed: Sequence[Listed]) -> str:
    return printable(listed[0].filename) if len(listed) == 1 else f"{len(listed):,} models"
