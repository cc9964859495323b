"""The places models are deployed to: listed, added, changed, forgotten."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from modelhub.apps import catalogue
from modelhub.core.apps import METHODS, App, Options, Rule, Target
from modelhub.core.deployment import Link
from modelhub.core.errors import InvalidInput
from modelhub.core.names import printable, storable
from modelhub.core.places import expand
from modelhub.core.templates import check_naming, check_template, check_url
from modelhub.core.types import UNKNOWN
from modelhub.services.library import Models
from modelhub.services.prepare import base_of
from modelhub.services.standing import Standing, rebased
from modelhub.store.options import write_options
from modelhub.store.targets import Targets


class TargetDesk:
    """`app_folders` hold the YAML files of a user's own apps; `deployed` is the hub's folder of links for apps that are
    pointed at them.
    """

    def __init__(self, targets: Targets, models: Models, app_folders: Sequence[Path], deployed: str) -> None:
        self._targets = targets
        self._models = models
        self._app_folders = app_folders
        self.deployed = deployed

    def all(self) -> list[Target]:
        return self._targets.all()

    def get(self, name: str) -> Target:
        return self._targets.get(name)

    def apps(self) -> dict[str, App]:
        """Every known app by name, those of the user's own files among them."""
        return catalogue.all_apps(self._app_folders)[0]

    def app_problems(self) -> tuple[str, ...]:
        """What is wrong with the user's own files of apps, a sentence for each."""
        return catalogue.all_apps(self._app_folders)[1]

    def app_of(self, target: Target) -> App:
        """The record of a target's app; a plain folder's, if it has none any more."""
        known = self.apps()
        return known.get(target.app) or known[catalogue.PLAIN_FOLDER]

    def standing(self, target: Target) -> Standing:
        """What stands of a target, looked at anew."""
        app = self.app_of(target)
        return Standing(target, app, base_of(target, app, self.deployed))

    def records(self, target: Target) -> list[Link]:
        """What is recorded of a target, at the places where it is now."""
        base = base_of(target, self.app_of(target), self.deployed)
        return rebased(self._targets.links([target.id]), target.name, base)

    def create_defaults(self) -> None:
        """The four targets that every hub starts with, disabled; once for all times."""
        if not self._targets.have_defaults():
            shipped = [app for app in catalogue.apps().values() if app.default_target]
            self._targets.add_defaults(
                [
                    Target(0, app.name, app.display_name, app.default_path, False, app.name, app.folders)
                    for app in shipped
                ]
            )

    def preview(
        self,
        name: str,
        path: str,
        *,
        app: str,
        display_name: str = "",
        enabled: bool = True,
        method: str = "",
        url: str = "",
    ) -> Target:
        """The target that `add` would make; raises InvalidInput or NotFound as that would."""
        if not name or not name.isprintable() or "/" in name or name in (".", ".."):
            raise InvalidInput(
                f"{printable(name)!r} is no good name for a target.", hint="Use letters, digits, - and _."
            )
        record = catalogue.named(app, self.apps())
        folders: Mapping[str, str] = record.folders
        if record.name == catalogue.PLAIN_FOLDER:
            folders = {kind: kind for kind, _ in self._models.types() if kind != UNKNOWN}
        if "\0" in path:
            raise InvalidInput(f"{printable(path)!r} is no path.", hint="Name a folder.")
        base_path = expand(path) if path else record.default_path
        if not base_path and record.layout != "invokeai":
            raise InvalidInput("A plain folder needs a path.", hint=f"modelhub targets add {name} PATH")
        base_path = base_path or os.path.join(self.deployed, name)
        self._check_method(record, method)
        if not url and record.layout == "invokeai" and record.server is not None:
            url = f"http://127.0.0.1:{record.server.ports[0]}"
        options = Options(url=check_url(url))
        return Target(0, name, display_name or name, base_path, enabled, record.name, folders, method, options)

    def add(
        self,
        name: str,
        path: str,
        *,
        app: str,
        display_name: str = "",
        enabled: bool = True,
        method: str = "",
        url: str = "",
    ) -> Target:
        """A target for an installed app, or a plain folder with one sub-folder for each type."""
        made = self.preview(name, path, app=app, display_name=display_name, enabled=enabled, method=method, url=url)
        self._targets.add(made)
        return self._targets.get(name)

    def change(
        self,
        name: str,
        *,
        enabled: bool | None = None,
        path: str = "",
        display_name: str = "",
        method: str | None = None,
        naming: str | None = None,
        url: str | None = None,
        config: str | None = None,
        dry_run: bool = False,
    ) -> Target:
        """Change what is given; an empty method, naming, url or config is as the app's record says."""
        target = self._targets.get(name)
        changed: dict[str, object] = {}
        if enabled is not None:
            changed["enabled"] = enabled
        if path:
            changed["base_path"] = storable(expand(path))
        if display_name:
            changed["display_name"] = storable(display_name)
        if method is not None:
            self._check_method(self.app_of(target), method)
            changed["method"] = method
        options = target.options
        if naming is not None:
            if naming and "{" not in naming:
                raise InvalidInput(
                    f"{printable(naming)!r} gives all models one name.", hint="Name a field, e.g. {name}."
                )
            options = replace(options, naming=check_naming(naming) if naming else "")
        if url is not None:
            options = replace(options, url=check_url(url))
        if config is not None:
            options = replace(options, config=config)
        return self._store(target, changed, options, dry_run=dry_run)

    def _store(self, target: Target, changed: Mapping[str, object], options: Options, *, dry_run: bool) -> Target:
        if dry_run:
            return replace(target, options=options, **changed)  # type: ignore[arg-type]
        values = dict(changed)
        if options != target.options:
            values["options"] = write_options(replace(options, problem=""))
        self._targets.change(target.id, **values)
        return self._targets.get(target.name)

    @staticmethod
    def _check_method(app: App, method: str) -> None:
        if method and method not in METHODS:
            raise InvalidInput(f"{printable(method)!r} is no method.", hint=f"Methods: {', '.join(METHODS)}.")
        if method and method not in app.ways:
            raise InvalidInput(
                f"{app.display_name} cannot be given models by {method}.", hint=f"Its methods: {', '.join(app.ways)}."
            )

    def filter(
        self,
        name: str,
        *,
        include: Sequence[Rule] = (),
        exclude: Sequence[Rule] = (),
        clear: bool = False,
        dry_run: bool = False,
    ) -> Target:
        """Add conditions that models must fit: any of `include`, none of `exclude`; `clear` forgets the old ones."""
        target = self._targets.get(name)
        if not (include or exclude or clear):
            return target
        old = Options() if clear else target.options
        options = replace(
            target.options, include=(*old.include, *include), exclude=(*old.exclude, *exclude), problem=""
        )
        return self._store(target, {}, options, dry_run=dry_run)

    def set_options(self, name: str, options: Options) -> Target:
        """Give a target other options altogether."""
        return self._store(self._targets.get(name), {}, options, dry_run=False)

    def map_type(self, name: str, model_type: str, folder: str | None) -> Target:
        """Set the folder of a type in a target, relative to its base path; None removes the mapping."""
        target = self._targets.get(name)
        if folder is not None:
            self.check_folder(model_type, folder)
        self._targets.map(target.id, model_type, folder)
        return self._targets.get(name)

    def check_folder(self, model_type: str, folder: str) -> None:
        """Raises InvalidInput for a type that is none, and a folder that cannot be one."""
        if not folder.strip() or os.path.isabs(folder) or not folder.isprintable():
            raise InvalidInput(f"{printable(folder)!r} is no relative folder.", hint="Name it relative to the target.")
        if "{" in folder:
            check_template(folder.removeprefix("../"))
        if model_type not in [*(kind for kind, _ in self._models.types()), "*"]:
            raise InvalidInput(f"{printable(model_type)!r} is no model type.", hint="`modelhub types` lists them.")

    def remove(self, name: str) -> None:
        """Forget a target; its links must be gone before, so that none is left untracked."""
        target = self._targets.get(name)
        standing = self.standing(target)
        left = [link for link in self.records(target) if standing.holds(link)]
        if left:
            raise InvalidInput(
                f"{name} still has {len(left)} links.",
                hint=f"Run `modelhub undeploy --target {name}` first.",
            )
        self._targets.remove(target.id)
