"""What other programs wrote beside a model, told as Civitai would: its family, its type, its words.

Sources: Civitai Helper (`.civitai.info`), Stability Matrix (`.cm-info.json`, ConnectedModelInfo), Lora Manager
(`.metadata.json`, its documented schema), AUTOMATIC1111's and Forge's user metadata (`.json`).
"""

from collections.abc import Callable, Iterator
from typing import Any

from modelhub.core.types import SIDECAR, External
from modelhub.formats.bundles import Bundle, Folder

_Told = dict[str, Any]
_OF_WEBUI = {"SD1": "SD 1.5", "SD2": "SD 2.1", "SDXL": "SDXL 1.0"}


def said(bundle: Bundle, folder: Folder) -> Iterator[External]:
    """An answer for each file beside the model that holds one; by name alone it belongs to the model, not by hash."""
    for ending, read in _READERS.items():
        for name in bundle.companions:
            if _ending(name) == ending:
                told = folder.json(name)
                answer = read(told) if isinstance(told, dict) else {}
                if any(answer.values()):
                    yield External(SIDECAR, name, "", answer)


def _ending(name: str) -> str:
    return next((ending for ending in _READERS if name.lower().endswith(ending)), "")


def _mapping(told: Any) -> _Told:
    return told if isinstance(told, dict) else {}


def _helper(told: _Told) -> _Told:
    return {name: told.get(name) for name in ("baseModel", "trainedWords", "model")}


def _stability_matrix(told: _Told) -> _Told:
    kind = {"type": told["ModelType"]} if told.get("ModelType") else None
    return {"baseModel": told.get("BaseModel"), "trainedWords": told.get("TrainedWords"), "model": kind}


def _lora_manager(told: _Told) -> _Told:
    site = _mapping(told.get("civitai"))
    return _helper(site) | {"baseModel": told.get("base_model") or site.get("baseModel")}


def _webui(told: _Told) -> _Told:
    words = told.get("activation text")
    listed = [word.strip() for word in words.split(",")] if isinstance(words, str) and words.strip() else None
    return {"baseModel": _OF_WEBUI.get(str(told.get("sd version"))), "trainedWords": listed}


_READERS: dict[str, Callable[[_Told], _Told]] = {
    ".civitai.info": _helper,
    ".cm-info.json": _stability_matrix,
    ".metadata.json": _lora_manager,
    ".json": _webui,
}
