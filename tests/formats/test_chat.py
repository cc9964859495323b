"""Chat templates are looked at, never rendered: what reaches for Python is unsafe, what real ones do is not."""

import gzip
import json
from pathlib import Path

import pytest

from modelhub.formats import chat
from modelhub.formats.inspect import inspect
from modelhub.services.hub import Hub
from tests import build
from tests.conftest import scan
from tests.formats.test_bundles import write_llama

_REAL = Path(__file__).parents[1] / "data/chat_templates.json.gz"
"""Templates as they stand in the headers of published models."""

ATTACKS = (
    "{{ self.__init__.__globals__ }}",
    "{% for c in [].__class__.__base__.__subclasses__() %}{% endfor %}",
    "{{ ''|attr('\\x5f\\x5fclass\\x5f\\x5f') }}",
    "{{ lipsum.__globals__['os'].popen('id').read() }}",
    "{{ cycler.__init__.__globals__.os.system('id') }}",
    "{{ x['\\u005f\\u005fimport\\u005f\\u005f'] }}",
    "{{ messages | attr('mro') }}",
    "a" * 2_000_000,
)


@pytest.mark.parametrize("template", ATTACKS, ids=range(len(ATTACKS)))
def test_a_template_that_reaches_out_is_unsafe_in_a_file(tmp_path: Path, template: str) -> None:
    pairs = build.llm_pairs("llama", "Tiny") | {"tokenizer.chat_template": template[:60_000]}
    path = build.gguf(tmp_path / "x.gguf", pairs, build.LLM_TENSORS)
    with path.open("rb") as stream:
        found = inspect(stream, path.stat().st_size, path.name)
    if len(template) < 60_000:
        assert (found.state, found.code) == ("unsafe", "unsafe_template")
    assert chat.danger(template)


def test_a_second_template_is_looked_at_too(tmp_path: Path) -> None:
    pairs = build.llm_pairs("llama", "Tiny") | {
        "tokenizer.chat_template": "{{ messages }}",
        "tokenizer.chat_template.tool_use": ATTACKS[0],
    }
    path = build.gguf(tmp_path / "x.gguf", pairs, build.LLM_TENSORS)
    with path.open("rb") as stream:
        assert inspect(stream, path.stat().st_size, path.name).state == "unsafe"


def test_a_template_that_reaches_out_is_unsafe_in_a_folder(hub: Hub, tmp_path: Path) -> None:
    folder = write_llama(tmp_path / "in/Tiny", shards=1)
    told = (
        json.loads((folder / "tokenizer_config.json").read_text())
        if (folder / "tokenizer_config.json").exists()
        else {}
    )
    (folder / "tokenizer_config.json").write_text(json.dumps(told | {"chat_template": ATTACKS[0]}))
    assert set(scan(hub, tmp_path / "in").outcomes().values()) == {"unsafe"}
    assert hub.models.resolve("Tiny").code == "unsafe_template"


def test_no_real_template_is_refused() -> None:
    templates = json.loads(gzip.decompress(_REAL.read_bytes()))
    assert len(templates) > 10
    assert [word for word in map(chat.danger, templates) if word] == []
