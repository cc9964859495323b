"""Checkpoints as trainers write them: no harm in any, however much they name. None may be refused."""

import collections
import datetime as dt
import json
import pickle
import struct
from collections.abc import Iterator, Mapping
from typing import Any

from tests.hostile.bundled import hdf5, keras
from tests.hostile.case import Case, fixed
from tests.hostile.opcodes import Built, Call, Kept, Name, New, Raw, dumps
from tests.hostile.zips import Member, archive

ORDERED = Name("collections", "OrderedDict")
_LEGACY = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."
_WIDTHS = {
    "FloatStorage": 4,
    "HalfStorage": 2,
    "BFloat16Storage": 2,
    "LongStorage": 8,
    "QInt8Storage": 1,
    "BoolStorage": 1,
}


def storage(key: int, kind: str = "FloatStorage", elements: int = 4, device: str = "cpu") -> Kept:
    return Kept(("storage", Name("torch", kind), str(key), device, elements))


def tensor(key: int, kind: str = "FloatStorage", shape: tuple[int, ...] = (2, 2), device: str = "cpu") -> Call:
    elements, strides = 1, tuple(1 for _ in shape)
    for side in shape:
        elements *= side
    rebuild = Name("torch._utils", "_rebuild_tensor_v2")
    return rebuild(storage(key, kind, elements, device), 0, shape, strides, False, ORDERED())


def parameter(key: int, kind: str = "FloatStorage") -> Call:
    return Name("torch._utils", "_rebuild_parameter")(tensor(key, kind), True, ORDERED())


def zipped(value: Any, storages: int = 1, protocol: int = 2) -> bytes:
    """What `torch.save` writes since PyTorch 1.6."""
    members = [Member("model/data.pkl", dumps(value, protocol)), Member("model/byteorder", b"little")]
    members += [Member(f"model/data/{key}", bytes(64)) for key in range(storages)]
    return archive([*members, Member("model/version", b"3\n"), Member("model/.data/serialization_id", b"0" * 40)])


def legacy(value: Any, storages: Mapping[int, int]) -> bytes:
    """What it wrote before: three pickles about the file, the object, the keys, and each storage's numbers."""
    about = dumps({"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}})
    keys = dumps([str(key) for key in storages])
    numbers = b"".join(struct.pack("<q", size // 4) + bytes(size) for size in storages.values())
    return _LEGACY + about + dumps(value) + keys + numbers


def numpy_scalar(value: float) -> Call:
    dtype = Built(Name("numpy", "dtype")("f8", False, True), (3, "<", None, None, None, -1, -1, 0))
    return Name("numpy.core.multiarray", "scalar")(dtype, struct.pack("<d", value))


def numpy_array(module: str = "numpy.core.multiarray") -> Built:
    dtype = Built(Name("numpy", "dtype")("f4", False, True), (3, "<", None, None, None, -1, -1, 0))
    empty = Name(module, "_reconstruct")(Name("numpy", "ndarray"), (0,), b"b")
    return Built(empty, (1, (4,), dtype, False, bytes(16)))


def layer(module: str, name: str, modules: Mapping[str, Any] | None = None, **attributes: Any) -> New:
    """A pickled `torch.nn.Module`."""
    state = {"training": False, "_parameters": ORDERED(), "_buffers": ORDERED(), "_backward_hooks": ORDERED()}
    return New(Name(module, name), {**state, "_modules": dict(modules or {}), **attributes})


def _optimizer(**more: Any) -> dict[str, Any]:
    state = {0: {"step": tensor(1, shape=()), "exp_avg": tensor(2), "exp_avg_sq": tensor(3)}}
    groups = [
        {"lr": 1e-4, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.01, "amsgrad": False, "params": [0], **more}
    ]
    return {"state": state, "param_groups": groups}


def _lightning(module: str) -> dict[str, Any]:
    settings = New(Name(module, "AttributeDict"))
    filled = Raw(_code(settings) + b"(" + b"".join(map(_code, ("lr", 1e-3, "keys", ["image"], "update", None))) + b"u")
    callback = "ModelCheckpoint{'monitor': 'val_loss'}"
    scores = {"best_model_score": tensor(1, shape=()), "best_model_path": "epoch=3.ckpt", "best_k_models": {}}
    return {
        "epoch": 3,
        "global_step": 1200,
        "pytorch-lightning_version": "2.1.0",
        "state_dict": {"w": tensor(0)},
        "loops": {"fit_loop": {"state_dict": {}, "epoch_progress": {"total": {"ready": 4, "completed": 3}}}},
        "callbacks": {callback: scores},
        "optimizer_states": [_optimizer()],
        "lr_schedulers": [{"base_lrs": [1e-4]}],
        "hparams_name": "kwargs",
        "hyper_parameters": filled,
    }


def _code(value: Any) -> bytes:
    return dumps(value)[2:-1]


def _detector() -> dict[str, Any]:
    conv = layer("torch.nn.modules.conv", "Conv2d", in_channels=3, kernel_size=(3, 3), padding_mode="zeros")
    block = layer(
        "ultralytics.nn.modules.conv", "Conv", {"conv": conv, "act": layer("torch.nn.modules.activation", "SiLU")}
    )
    inner = layer("ultralytics.nn.modules.block", "Bottleneck", {"cv1": block}, add=True)
    arguments = Built(
        Name("ultralytics.utils", "IterableSimpleNamespace")(), {"task": "detect", "imgsz": 640, "lr0": 0.01}
    )
    names = {0: "person", 1: "bicycle"}
    model = layer(
        "ultralytics.nn.tasks",
        "DetectionModel",
        {"model": layer("torch.nn.modules.container", "Sequential", {"0": inner})},
        yaml={"nc": 80, "backbone": [[-1, 1, "Conv", [64, 3, 2]]], "scale": "n"},
        names=names,
        args=arguments,
        stride=tensor(1, shape=(3,)),
        inplace=True,
    )
    return {
        "epoch": -1,
        "best_fitness": numpy_scalar(0.5),
        "model": model,
        "ema": None,
        "train_args": {"imgsz": 640},
        "date": "2023-01-01T00:00:00",
        "version": "8.0.0",
    }


def _trainer() -> dict[str, Any]:
    """Everything else that was seen beside weights."""
    parameters = Name("argparse", "Namespace")
    options = New(
        parameters,
        {
            "lr": 1e-4,
            "arch": "resnet50",
            "keys": ["image"],
            "items": Name("builtins", "set")([1]),
            "add": "text " * 300,
            "resume": None,
            "dist": False,
        },
    )
    made = dt.datetime(2024, 5, 4, 3, 2, 1)  # noqa: DTZ001  (as trainers write it)
    scores = collections.defaultdict(list, {"loss": [0.5, 0.25]})
    counted = collections.Counter({"cat": 3})
    return {
        "model_state_dict": {"w": tensor(0)},
        "args": options,
        "date": Raw(_inner(made)),
        "history": Raw(_inner(scores)),
        "counts": Raw(_inner(counted)),
        "path": Name("pathlib", "PosixPath")("runs", "exp1"),
        "ids": Name("builtins", "set")([1, 2]),
        "frozen": Name("builtins", "frozenset")(["a"]),
        "raw": Name("_codecs", "encode")("\xff\xfe", "latin1"),
        "size": Name("torch", "Size")((2, 2)),
        "dtype": Name("torch", "float16"),
        "device": Name("torch", "device")("cuda", 0),
        "range": Name("builtins", "slice")(0, 4, None),
        "array": numpy_array(),
        "newer": numpy_array("numpy._core.multiarray"),
        "score": numpy_scalar(0.75),
        "by_class": {1: "a", 2.5: "b", (1, 2): "c", None: "d"},
        "flag": True,
        "big": 1 << 70,
    }


def _inner(value: Any) -> bytes:
    """The opcodes of a value that `pickle` itself writes."""
    return pickle.dumps(value, 2)[2:-1]


def _tensors() -> dict[str, Any]:
    utils, typed = "torch._utils", Name("torch._tensor", "_rebuild_from_type_v2")
    quantised = Name(utils, "_rebuild_qtensor")(
        storage(0, "QInt8Storage"), 0, (2, 2), (2, 1), (Name("torch", "per_tensor_affine"), 0.1, 0), False, ORDERED()
    )
    layout = Name("torch.serialization", "_get_layout")("torch.sparse_coo")
    sparse = Name(utils, "_rebuild_sparse_tensor")(
        layout, (tensor(0, "LongStorage"), tensor(1), Name("torch", "Size")((4, 4)))
    )
    newest = Name(utils, "_rebuild_tensor_v3")(
        Kept(("storage", Name("torch.storage", "UntypedStorage"), "2", "cpu", 4)),
        0,
        (4,),
        (1,),
        False,
        ORDERED(),
        Name("torch", "float8_e4m3fn"),
    )
    stated = Name(utils, "_rebuild_parameter_with_state")(tensor(0), True, ORDERED(), {"tag": "x", "sharded": False})
    of_type = typed(
        Name(utils, "_rebuild_tensor_v2"),
        Name("torch.nn.parameter", "Parameter"),
        (storage(0), 0, (2, 2), (2, 1), False, ORDERED()),
        {"quant_state": None},
    )
    meta = Name(utils, "_rebuild_meta_tensor_no_storage")(Name("torch", "float32"), (2, 2), (2, 1), False)
    return {
        "quantised": quantised,
        "sparse": sparse,
        "newest": newest,
        "stated": stated,
        "typed": of_type,
        "meta": meta,
        "half": tensor(3, "HalfStorage"),
        "brain": tensor(4, "BFloat16Storage"),
        "flag": tensor(5, "BoolStorage"),
        "scalar": tensor(6, shape=()),
        "empty": tensor(7, shape=(0, 4)),
        "gpu": tensor(8, device="cuda:0"),
    }


def _files() -> dict[str, bytes]:
    ordered = Built(
        ORDERED([("a.weight", tensor(0)), ("a.bias", parameter(1))]), {"_metadata": ORDERED([("", {"version": 1})])}
    )
    shared = b"\x80\x02}q\x00(X\x01\x00\x00\x00a" + _code(tensor(0)) + b"q\x01X\x01\x00\x00\x00bh\x01u."
    return {
        "state_dict.pt": zipped({"w": tensor(0)}),
        "ordered.pth": zipped(ordered, 2),
        "ordered.bin": zipped(ordered, 2, protocol=4),
        "legacy.pt": legacy({"w": tensor(0), "b": tensor(1, "LongStorage")}, {0: 16, 1: 32}),
        "legacy_gpu.ckpt": legacy({"state_dict": {"w": tensor(0, device="cuda:0")}}, {0: 16}),
        "bare.pkl": dumps({"lr": 1e-3, "names": ["a"], "nested": {"x": (1, 2.5, None, True)}}),
        "bare_protocol_0.pkl": pickle.dumps({"lr": 1e-3, "names": ["a"], "size": (1, 2)}, 0),
        "bare_protocol_5.pkl": pickle.dumps({"lr": 1e-3, "raw": b"x", "set": {1, 2}, "buffer": bytearray(4)}, 5),
        "python_2.pkl": b"(dp0\nS'lr'\np1\nF0.001\nsS'name'\np2\nS'caf\\xc3\\xa9'\np3\ns.",
        "shared.pt": archive(
            [Member("m/data.pkl", shared), Member("m/data/0", bytes(16)), Member("m/version", b"3\n")]
        ),
        "optimizer.pt": zipped({"model": {"w": tensor(0)}, "optimizer": _optimizer(lr=numpy_scalar(1e-4))}, 4),
        "scheduler.pt": zipped({"last_epoch": 3, "_last_lr": [numpy_scalar(1e-4)], "base_lrs": [1e-4]}, 0),
        "lightning.ckpt": zipped(_lightning("pytorch_lightning.utilities.parsing"), 4),
        "lightning_2.ckpt": zipped(_lightning("lightning_fabric.utilities.data"), 4),
        "lightning_legacy.ckpt": legacy(_lightning("pytorch_lightning.utilities.parsing"), {0: 16, 1: 4, 2: 16, 3: 16}),
        "detector.pt": zipped(_detector(), 2),
        "trainer.pt": zipped(_trainer(), 1),
        "trainer_legacy.pth": legacy(_trainer(), {0: 16}),
        "tensors.pt": zipped(_tensors(), 9),
        "parameters.pt": zipped({"emb_params": parameter(0, "HalfStorage"), "string_to_param": {"*": parameter(1)}}, 2),
        "embedding.pt": zipped(
            {"string_to_token": {"*": 265}, "string_to_param": {"*": parameter(0)}, "name": "easynegative", "step": 500}
        ),
        "training_args_like.bin": zipped(New(Name("argparse", "Namespace"), {"seed": 1, "output_dir": "out"}), 0),
        "grad_scaler.pt": zipped({"scale": 65536.0, "growth_factor": 2.0, "_growth_tracker": 12}, 0),
        "random_states.pkl": zipped(
            {"torch_manual_seed": tensor(0, "LongStorage"), "numpy": ("MT19937", numpy_array(), 624, 0, 0.0)}
        ),
        "omegaconf.ckpt": zipped({"state_dict": {"w": tensor(0)}, "hyper_parameters": _configuration()}),
        "namespace_old.pkl": b"ccopy_reg\n_reconstructor\n(cargparse\nNamespace\nc__builtin__\nobject\nNtR"
        b"(dVlr\nF0.5\nsb.",
        "functional.keras": keras(_keras()),
        "functional.h5": hdf5(_keras()),
        "sequential.h5": hdf5(
            b'{"class_name": "Sequential", "config": {"layers": [{"class_name": "Dense", "config": {}}]}}'
        ),
        "numpy_fields.npz": archive(
            [Member("a.npy", _npy()), Member("b.npy", _npy("[('Offset', '<f4'), ('n', '<U8')]"))]
        ),
    }


def _keras() -> bytes:
    """A configuration as Keras 3 writes it."""

    def made(module: str, name: str, /, **config: Any) -> dict[str, Any]:
        return {"module": module, "class_name": name, "config": config, "registered_name": None}

    policy = made("keras", "DTypePolicy", name="float32")
    dense = made(
        "keras.layers", "Dense", name="dense", units=8, activation="relu", dtype=policy, trainable=True,
        kernel_initializer=made("keras.initializers", "GlorotUniform", seed=None), bias_regularizer=None,
    )  # fmt: skip
    accuracy = {"module": "builtins", "class_name": "function", "config": "accuracy", "registered_name": "function"}
    return json.dumps({
        **made("keras.src.models.functional", "Functional", name="m", layers=[dense], output_layers=[["dense", 0, 0]]),
        "compile_config": {"optimizer": made("keras.optimizers", "Adam", learning_rate=1e-3), "metrics": [accuracy]},
    }).encode()  # fmt: skip


def _configuration() -> New:
    """A pickled DictConfig, as Lightning keeps hyper-parameters."""
    metadata = New(
        Name("omegaconf.base", "ContainerMetadata"),
        {
            "ref_type": Name("typing", "Any"),
            "object_type": Name("builtins", "dict"),
            "optional": True,
            "key": None,
            "flags": None,
            "resolver_cache": {},
        },
    )
    node = New(Name("omegaconf.nodes", "AnyNode"), {"_metadata": metadata, "_parent": None, "_val": 0.5})
    return New(
        Name("omegaconf.dictconfig", "DictConfig"), {"_metadata": metadata, "_parent": None, "_content": {"lr": node}}
    )


def _npy(description: str = "'<f4'") -> bytes:
    header = f"{{'descr': {description}, 'fortran_order': False, 'shape': (2,), }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header + bytes(80)


def cases() -> Iterator[Case]:
    yield from fixed("benign", _files(), expected="accepted")
