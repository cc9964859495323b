"""What models are called in apps."""

import pytest

from modelhub.apps import naming
from modelhub.core.deployment import Deployable
from modelhub.core.errors import InvalidInput
from modelhub.core.templates import check_template
from modelhub.core.types import Sha256


def model(filename: str = "Qwen2-8B-Instruct-Q4_K_M.gguf", **more: object) -> Deployable:
    fields: dict[str, object] = {
        "id": 1, "sha256": Sha256("ab" * 32), "filename": filename, "size": 1, "type": "llm", "base": "qwen2",
        "sub_type": "qwen2", "variant": "", "format": "gguf", "precision": "", "quantization": "Q4_K_M",
        "architecture": "qwen2", "parameters": 8_190_000_000, "license": "", "primary": "LANGUAGE", "secondary": "CHAT",
        "specialization": "GENERAL", "state": "ok", "message": "", "missing": False, "deleted": False,
    }  # fmt: skip
    return Deployable(**(fields | more))  # type: ignore[arg-type]


def filled(template: str, one: Deployable) -> str:
    return naming.filled(template, naming.fields_of(one, family="qwen", publisher="Qwen", repo=""))


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("{file}", "Qwen2-8B-Instruct-Q4_K_M"),
        ("{base}/{name}", "qwen2/Qwen2-8B-Instruct-Q4_K_M"),
        ("{clean}", "qwen2-8b-instruct-q4-k-m"),
        ("{model}", "Qwen2-8B-Instruct"),
        ("{base}-{size}-{variant}", "qwen2-8.2b"),
        ("{family}/{base}-{size}/", "qwen/qwen2-8.2b"),
        ("{variant|sub_type|base}-{quant}", "qwen2-Q4_K_M"),
        ("{primary}/{secondary}/{clean}", "language/chat/qwen2-8b-instruct-q4-k-m"),
        ("{publisher}/{repo}/", "Qwen/Qwen2-8B-Instruct"),
        ("{hash}", "abababab"),
    ],
)
def test_templates_are_filled_and_leave_nothing_dangling(template: str, name: str) -> None:
    assert filled(check_template(template), model()) == name


@pytest.mark.parametrize("template", ["{nothing}", "{base", "base}", "/abs/{base}", "../{base}", "a//b", "{base|nope}"])
def test_a_template_that_cannot_be_is_refused_with_the_fields_there_are(template: str) -> None:
    with pytest.raises(InvalidInput):
        check_template(template)


def test_a_value_cannot_lead_out_of_its_folder() -> None:
    assert not {"..", "."} & set(filled("{base}/{name}", model("../../x.gguf", base="../..")).split("/"))
    assert ".." not in filled("{base}/{name}", model("x.gguf", base="..")).split("/")


@pytest.mark.parametrize(
    ("form", "name", "endings", "ending"),
    [
        ("safetensors", "a.SafeTensors", (), ".safetensors"),
        ("safetensors", "a.ckpt", (), ".safetensors"),
        ("safetensors", "a", (), ".safetensors"),
        ("safetensors", "a.sft", (), ".sft"),
        ("safetensors", "a.sft", (".safetensors", ".ckpt"), ".safetensors"),
        ("torch_zip", "a.PTH", (), ".pth"),
        ("torch_zip", "a.bin", (".ckpt", ".pt"), ".pt"),
        ("gguf", "model-v1.5", (), ".gguf"),
        ("hf_folder", "model-v1.5", (), ".5"),
    ],
)
def test_the_ending_is_lower_case_true_and_one_that_the_app_lists(
    form: str, name: str, endings: tuple[str, ...], ending: str
) -> None:
    assert naming.suffix(model(name, format=form), name, endings) == ending


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("a\nb\x1b[31m", "a_b_[31m"), (".hidden", "hidden"), ("ünï", "ünï"), ("...", "model"),
    ],
)  # fmt: skip
def test_names_carry_no_orders_for_terminals_and_are_not_hidden(name: str, kept: str) -> None:
    assert naming.inert(name) == kept


@pytest.mark.parametrize(
    ("name", "kept"), [('a:b*"c"?', "a_b__c__"), ("con", "_con"), ("LPT1.x", "_LPT1.x"), ("end. ", "end")]
)
def test_file_systems_of_windows_get_names_they_take(name: str, kept: str) -> None:
    assert naming.strict(name) == kept


def test_names_that_an_app_hides_are_shown_with_hyphens() -> None:
    assert naming.shown("sd.vae.safetensors", ("*.vae.safetensors",)) == "sd-vae.safetensors"
    assert naming.shown("sd.safetensors", ("*.vae.safetensors",)) == "sd.safetensors"


@pytest.mark.parametrize(
    ("stem", "model_name"),
    [
        ("Llama-3.2-1B-Instruct-Q4_K_M", "Llama-3.2-1B-Instruct"), ("x.i1-IQ2_XXS", "x"), ("y-UD-Q4_K_XL", "y"),
        ("nomic-embed-text-v1.5.Q8_0", "nomic-embed-text-v1.5"), ("gpt-oss-20b-mxfp4", "gpt-oss-20b"), ("F16", "F16"),
    ],
)  # fmt: skip
def test_a_models_name_is_its_files_name_without_the_quantisation(stem: str, model_name: str) -> None:
    assert naming.without_quant(stem) == model_name


@pytest.mark.parametrize(
    ("number", "text"), [(8_030_000_000, "8b"), (70 * 10**9, "70b"), (27 * 10**7, "270m"), (0, "")]
)  # fmt: skip
def test_sizes_are_written_as_names_have_them(number: int, text: str) -> None:
    assert naming.parameters(number) == text


def test_names_are_cut_to_what_file_systems_take() -> None:
    assert len(naming.shortened("ü" * 300, "-12345678.gguf").encode()) <= 255
