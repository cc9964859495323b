"""Pickles that name only what checkpoints are made of, and still have code run.

The class of a detector evaluates its configuration when it is called. None of these calls it: each makes an
object call it, by an attribute or item of the name of a method that the unpickler looks up.
"""

from collections.abc import Iterator
from typing import Any

from tests.hostile.case import Case
from tests.hostile.opcodes import Built, Call, Filled, Kept, Name, New, Raw, dumps

MODEL = Name("models.yolo", "Model")
NAMESPACE = Name("argparse", "Namespace")
ATTRIBUTES = Name("pytorch_lightning.utilities.parsing", "AttributeDict")
SEQUENTIAL = Name("torch.nn.modules.container", "Sequential")
ORDERED = Name("collections", "OrderedDict")
REBUILT = Name("torch._tensor", "_rebuild_from_type_v2")
PARAMETER = Name("torch._utils", "_rebuild_parameter_with_state")
TENSOR = Name("torch", "Tensor")
RECONSTRUCTOR = Name("copyreg", "_reconstructor")
STR, DICT, LIST, TUPLE = (Name("builtins", each) for each in ("str", "dict", "list", "tuple"))
HOOK = "__setstate__"


def _named_by(key: Any) -> Any:
    """A namespace whose state has the model under `key`."""
    return New(NAMESPACE, {key: MODEL})


def _gadgets(evil: dict[str, str]) -> dict[str, Any]:
    hooked, numpy_text = {HOOK: MODEL}, Name("numpy.core.multiarray", "scalar")
    pair = (HOOK, MODEL)
    parameter = PARAMETER(1, False, ORDERED(), hooked)
    return {
        "attribute": Built(New(NAMESPACE, hooked), evil),
        "attribute of slots": Built(New(NAMESPACE, (None, hooked)), evil),
        "state with a name made by str": Built(_named_by(STR(b"__setstate__", "ascii")), evil),
        "state with a name made by a codec": Built(_named_by(Name("_codecs", "encode")("__frgfgngr__", "rot13")), evil),
        "state with a name made by numpy": Built(
            _named_by(numpy_text(Name("numpy", "dtype")("U12"), HOOK.encode("utf-32-le"))), evil
        ),
        "state with a name made by a constructor": Built(_named_by(RECONSTRUCTOR(STR, STR, HOOK)), evil),
        "state made by dict of a list": Built(New(NAMESPACE, DICT(LIST([pair]))), evil),
        "state made by dict of a tuple": Built(New(NAMESPACE, DICT((TUPLE([HOOK, MODEL]),))), evil),
        "state made by dict of a set": Built(New(NAMESPACE, DICT(Name("builtins", "frozenset")([pair]))), evil),
        "state made by OrderedDict": Built(New(NAMESPACE, ORDERED(LIST([pair]))), evil),
        "state made by defaultdict": Built(
            New(NAMESPACE, Name("collections", "defaultdict")(None, TUPLE([pair]))), evil
        ),
        "state made by a constructor": Built(New(NAMESPACE, RECONSTRUCTOR(DICT, DICT, hooked)), evil),
        "state of attributes": Built(New(NAMESPACE, Filled(New(ATTRIBUTES), (pair,))), evil),
        "state as a list": Built(New(SEQUENTIAL, [pair]), evil),
        "state as a tuple of pairs": Built(New(SEQUENTIAL, (pair,)), evil),
        "state as an ordered list": Built(New(SEQUENTIAL, LIST([pair])), evil),
        "item of attributes": Built(Filled(New(ATTRIBUTES), (pair,)), evil),
        "item of constructed attributes": Built(RECONSTRUCTOR(ATTRIBUTES, DICT, hooked), evil),
        "items at once": Built(New(Name("lightning_fabric.utilities.data", "AttributeDict"), hooked), evil),
        "parameter": Built(parameter, evil),
        "parameter of slots": Built(PARAMETER(1, False, ORDERED(), (None, hooked)), evil),
        "parameter by a list": Built(REBUILT(PARAMETER, TENSOR, [1, False, ORDERED(), hooked], {}), evil),
        "parameter through a type": Built(REBUILT(PARAMETER, TENSOR, (1, False, ORDERED(), hooked), {}), evil),
        "type": Built(REBUILT(PARAMETER, TENSOR, (1, False, ORDERED(), {}), hooked), evil),
        "call of what was given": REBUILT(MODEL, TENSOR, (evil,), {}),
        "call within a call": REBUILT(REBUILT, TENSOR, (MODEL, TENSOR, (evil,), {}), {}),
        "list within a call": REBUILT(REBUILT, TENSOR, [MODEL, TENSOR, [evil], {}], {}),
        "base that is called": RECONSTRUCTOR(NAMESPACE, MODEL, evil),
        "append": Filled(New(NAMESPACE, {"append": MODEL}), ()),
        "called": Call(MODEL, (evil,)),
        "made with an argument": Raw(b"cmodels.yolo\nModel\n}\x85\x81"),
        "class changed": Built(NAMESPACE, {HOOK: MODEL}),
        "persistent class": Kept(("storage", MODEL(evil), "0", "cpu", 4)),
    }  # fmt: skip


_UNARMED = {
    "append", "made with an argument", "class changed", "attribute of slots", "parameter of slots",
    "base that is called",
    "state made by numpy", "items at once", "persistent class", "state with a name made by numpy",
}  # fmt: skip


def cases() -> Iterator[Case]:
    for title in _gadgets({}):

        def make(canary: str, title: str = title) -> bytes:
            made = _gadgets({"code": f"open({canary!r}, 'w').close()"})[title]
            return dumps({"state_dict": ORDERED(), "epoch": made})

        yield Case(f"{title.replace(' ', '_')}.ckpt", "gadgets", make, armed=title not in _UNARMED)
