"""Code that a Keras configuration carries or names: what makes Keras run, import or unpickle something.

The configuration is looked through as text, since in HDF5 it may stand anywhere in the file.
"""

import re

_NAMED = re.compile(rb'"(class_name|config|module)"\s{0,64}:\s{0,64}"([^"]{0,200})')
_ESCAPED = re.compile(rb"\\u00[2-7][0-9a-fA-F]")
"""A letter written as an escape, as no writer of JSON does: it would hide a name."""

_STRETCHED = re.compile(rb'"(?:class_name|config|module)"(?:\s{65}|\s{0,64}:\s{65})')
_MARKS = (b"class_name", b"module", b"\\u00")
_RUNNING = re.compile(rb"(?:\w+>)?(?:Lambda|__lambda__|TorchModuleWrapper)")
_MODULES = re.compile(
    rb"builtins|(?:tf_|tensorflow\.(?:python\.)?)?keras(?:\.api)?(?:\._v2\.keras)?(?:\.src)?(?:\.(?:activations|applications|constraints"
    rb"|dtype_policies|engine|initializers|layers|losses|metrics|mixed_precision|models|operations|ops|optimizers|quantizers"
    rb"|random|regularizers)(?:\.\w+)*)?|keras_(?:cv|hub|nlp)(?:\.src)?\.(?:layers|models|samplers|tokenizers)(?:\.\w+)*"
)
_BUILTINS = {
    b"__import__", b"breakpoint", b"compile", b"delattr", b"eval", b"exec", b"exit", b"getattr", b"globals", b"help",
    b"input", b"locals", b"open", b"quit", b"setattr", b"vars",
}  # fmt: skip
"""Functions of Python's that a layer's function must not be called like."""

_LOADING = re.compile(rb"(?:load|model_from|deserialize|get_file|enable_unsafe|clone_model)\w*")
"""Functions of Keras' own that open other files, or switch its guards off."""

LONGEST = 1024
"""Bytes on both sides of a cut that must be looked at together, so that nothing is overlooked between two pieces."""


def named_in(text: bytes) -> tuple[str, str] | None:
    """Code and sentence for what of a configuration would run; None if nothing does."""
    if not any(mark in text for mark in _MARKS):
        return None
    if _ESCAPED.search(text) or _STRETCHED.search(text):
        return "hidden_code", "Its configuration is written so that names in it are hard to see."
    for key, name in _NAMED.findall(text):
        shown = name.decode("utf-8", "replace")
        if key == b"class_name" and _RUNNING.fullmatch(name):
            return "lambda_layer", "It has a Lambda layer, which carries Python code that Keras would run."
        if key == b"module" and not _MODULES.fullmatch(name):
            return "foreign_code", f"It names the module {shown!r}, which Keras would import."
        if key != b"module" and (name in _BUILTINS or _LOADING.fullmatch(name)):
            return "foreign_code", f"It names the function {shown!r}, which Keras would call."
    return None
