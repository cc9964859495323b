"""Pickles that call something: every way to run code that is known, each touching its canary if it could."""

import marshal
from collections.abc import Iterator, Mapping
from typing import Any

from tests.hostile.case import Case, Make
from tests.hostile.opcodes import Call, Name, dumps, name, text

_SHELL, _CODE, _PATH, _WORDS = "{touch}", "{code}", "{path}", "{words}"
"""Arguments that stand for: a shell command, a statement, the canary's path, a command as a list of words."""

ARMED: dict[tuple[str, str], tuple[Any, ...]] = {
    ("os", "system"): (_SHELL,),
    ("posix", "system"): (_SHELL,),
    ("os", "popen"): (_SHELL,),
    ("os", "mkdir"): (_PATH,),
    ("os", "spawnlp"): (0, "touch", "touch", _PATH),
    ("posix", "mkfifo"): (_PATH,),
    ("subprocess", "call"): (_WORDS,),
    ("subprocess", "check_output"): (_WORDS,),
    ("subprocess", "run"): (_WORDS,),
    ("subprocess", "getoutput"): (_SHELL,),
    ("builtins", "eval"): (f"({_CODE})",),
    ("builtins", "exec"): (_CODE,),
    ("builtins", "open"): (_PATH, "w"),
    ("__builtin__", "eval"): (f"({_CODE})",),
    ("runpy", "_run_code"): (Call(Name("builtins", "compile"), (_CODE, "x", "exec")), {}),
    ("timeit", "timeit"): ("pass", _CODE),
    ("timeit", "repeat"): ("pass", _CODE),
    ("cProfile", "run"): (_CODE,),
    ("profile", "run"): (_CODE,),
    ("cProfile", "runctx"): (_CODE, {}, {}),
    ("io", "open"): (_PATH, "w"),
    ("_io", "FileIO"): (_PATH, "w"),
    ("_pyio", "open"): (_PATH, "w"),
    ("codecs", "open"): (_PATH, "w"),
    ("shutil", "copyfile"): ("/dev/null", _PATH),
    ("shutil", "copy"): ("/etc/hosts", _PATH),
    ("logging", "FileHandler"): (_PATH,),
    ("pydoc", "pipepager"): ("", _SHELL),
    ("zipfile", "ZipFile"): (_PATH, "w"),
    ("tarfile", "open"): (_PATH, "w"),
    ("gzip", "open"): (_PATH, "w"),
    ("lzma", "open"): (_PATH, "w"),
    ("yaml", "unsafe_load"): ("!!python/object/apply:os.system ['{touch}']",),
    ("code", "InteractiveInterpreter.runsource"): (Call(Name("code", "InteractiveInterpreter")), _CODE),
    ("pathlib", "Path.touch"): (Call(Name("pathlib", "Path"), (_PATH,)),),
    ("numpy.testing._private.utils", "runstring"): (_CODE, {}),
    ("_pickle", "loads"): (_WORDS,),
    ("pickle", "loads"): (_WORDS,),
    ("types", "FunctionType"): (),
    ("marshal", "loads"): (),
    ("functools", "partial"): (),
    ("operator", "methodcaller"): (),
    ("operator", "attrgetter"): (),
    ("builtins", "getattr"): (),
    ("builtins", "map"): (),
    ("itertools", "starmap"): (),
    ("concurrent.futures", "ThreadPoolExecutor.submit"): (),
    ("weakref", "finalize"): (),
    ("atexit", "register"): (),
}  # fmt: skip
"""What the standard library (and PyYAML, NumPy) would execute. Those without arguments are written out below."""

NAMED = [
    "nt.system", "posix.execv", "posix.spawn", "posix.posix_spawn", "posix.unlink", "os.execl", "os.remove", "os.kill",
    "os.putenv", "_posixsubprocess.fork_exec", "subprocess.Popen.__init__", "builtins.__import__", "builtins.compile",
    "builtins.setattr", "builtins.globals", "builtins.vars", "builtins.input", "builtins.breakpoint", "builtins.type",
    "builtins.object.__subclasses__", "__builtin__.execfile", "__builtin__.apply", "importlib.import_module",
    "importlib.reload", "importlib.util.spec_from_file_location", "runpy.run_path", "runpy.run_module",
    "imp.load_source", "pkgutil.resolve_name", "pkgutil.get_data", "zipimport.zipimporter",
    "_frozen_importlib_external.SourceFileLoader", "ctypes.CDLL", "ctypes.pythonapi.PyRun_SimpleString",
    "_ctypes.dlopen", "cffi.FFI.dlopen", "marshal.load", "types.CodeType", "code.interact", "codeop.compile_command",
    "pdb.run", "pdb.Pdb", "bdb.Bdb", "bdb.Bdb.run", "doctest.debug_script", "pty.spawn",
    "asyncio.create_subprocess_shell", "asyncio.run", "asyncio.unix_events._UnixSubprocessTransport._start",
    "multiprocessing.util.spawnv_passfds", "multiprocessing.Process", "webbrowser.open", "webbrowser.get",
    "antigravity.fly", "socket.create_connection", "socket.socket", "ssl.get_server_certificate",
    "urllib.request.urlopen", "urllib.request.urlretrieve", "http.client.HTTPConnection", "smtplib.SMTP", "ftplib.FTP",
    "telnetlib.Telnet", "xmlrpc.client.ServerProxy", "socketserver.TCPServer", "shutil.rmtree", "shutil.move",
    "shutil.unpack_archive", "tempfile.mkstemp", "sqlite3.connect", "shelve.open", "dbm.open", "linecache.getline",
    "pip.main", "pip._internal.main", "setuptools.setup", "setuptools.sandbox.run_setup", "distutils.spawn.spawn",
    "ensurepip._run_pip", "venv.create", "site.addsitedir", "sys.settrace", "sys.exit", "gc.get_objects",
    "inspect.getattr_static", "signal.signal", "threading.Thread", "logging.config.fileConfig",
    "logging.config._resolve", "typing.get_type_hints", "dataclasses.make_dataclass", "uuid._get_command_stdout",
    "mailcap.findmatch", "imaplib.IMAP4_stream", "commands.getoutput", "popen2.popen3", "cgitb.lookup",
    "idlelib.pyshell.ModifiedInterpreter.runcode", "lib2to3.pgen2.grammar.Grammar.loads", "string.Formatter.get_field",
    "pickle.Unpickler", "pickle._loads", "_pickle.Unpickler", "cloudpickle.loads", "dill.loads", "joblib.load",
    "pandas.read_pickle", "numpy.load", "numpy.fromfile", "numpy.memmap", "numpy.ctypeslib.load_library",
    "numpy.f2py.crackfortran.myeval", "numpy.distutils.exec_command.exec_command", "torch.load", "torch.hub.load",
    "torch.jit.load", "torch.ops.load_library", "torch.storage._load_from_bytes", "torch.classes.load_library",
    "torch.utils.collect_env.run", "torch.utils.cpp_extension.load_inline", "torch._dynamo.guards.GuardBuilder.get",
    "torch._inductor.codecache.compile_file",
    "torch.fx.experimental.symbolic_shapes.ShapeEnv.evaluate_guards_expression", "torch.serialization.load",
    "torch.package.PackageImporter", "torch.distributed.rpc.rpc_sync", "torch.nn.Module.__setattr__",
    "transformers.dynamic_module_utils.get_class_from_dynamic_module", "transformers.pipeline",
    "tensorflow.keras.models.load_model", "keras.utils.get_file", "sympy.sympify", "sklearn.datasets.fetch_openml",
    "lightgbm.Booster", "omegaconf.OmegaConf.register_resolver", "hydra.utils.instantiate", "gradio.load",
    "ultralytics.YOLO", "copyreg.__newobj__", "copyreg.add_extension", "copy_reg._extension_registry",
    "collections.namedtuple", "operator.itemgetter", "functools.reduce", "builtins.filter",
    "argparse.Namespace.__init__.__globals__", "collections.OrderedDict.__reduce__",
    "torch._utils._rebuild_tensor_v2.__globals__", "datetime.datetime.now", "torch.Tensor.apply_",
]  # fmt: skip
"""Names that are refused for what they are, called with the canary's path."""


def _filled(value: Any, words: Mapping[str, Any]) -> Any:
    """`value` with every placeholder in it replaced."""
    if isinstance(value, str):
        if value in words:
            return words[value]
        return value.replace(_SHELL, str(words[_SHELL])).replace(_CODE, str(words[_CODE]))
    if isinstance(value, tuple):
        return tuple(_filled(each, words) for each in value)
    if isinstance(value, Call):
        return Call(value.function, _filled(value.arguments, words))
    return value


def words_for(canary: str) -> dict[str, Any]:
    code = f"open({canary!r}, 'w').close()"
    return {_SHELL: f"touch {canary}", _CODE: code, _PATH: canary, _WORDS: ["touch", canary]}


def system(canary: str, protocol: int = 2) -> bytes:
    """The plainest attack of all."""
    return dumps(Call(Name("os", "system"), (f"touch {canary}",)), protocol)


def _call(function: str, attribute: str, canary: str) -> Any:
    """The call of an armed function that touches the canary."""
    words = words_for(canary)
    code, target = words[_CODE], Name(function, attribute)
    shell, imported = Name("os", "system"), Call(Name("builtins", "__import__"), ("os",))
    compiled = Call(Name("builtins", "compile"), (code, "x", "exec"))
    made: dict[str, Any] = {
        "_pickle.loads": target(system(canary)),
        "pickle.loads": target(system(canary, 4)),
        "marshal.loads": Name("builtins", "exec")(target(marshal.dumps(compile(code, "x", "exec")))),
        "types.FunctionType": Call(target(compiled, {"__builtins__": Name("builtins", "__dict__")})),
        "functools.partial": Call(target(shell, f"touch {canary}")),
        "operator.methodcaller": Call(target("system", f"touch {canary}"), (imported,)),
        "operator.attrgetter": Call(Call(target("system"), (imported,)), (f"touch {canary}",)),
        "builtins.getattr": Call(target(imported, "system"), (f"touch {canary}",)),
        "builtins.map": Name("builtins", "list")(target(shell, [f"touch {canary}"])),
        "itertools.starmap": Name("builtins", "list")(target(shell, [(f"touch {canary}",)])),
        "concurrent.futures.ThreadPoolExecutor.submit": target(
            Name("concurrent.futures", "ThreadPoolExecutor")(), shell, f"touch {canary}"
        ),
        "weakref.finalize": Call(target(Name("builtins", "set")(), shell, f"touch {canary}")),
        "atexit.register": target(shell, f"touch {canary}"),
    }  # fmt: skip
    return made.get(f"{function}.{attribute}") or target(*_filled(ARMED[function, attribute], words))


def _system_in(protocol: int) -> Make:
    return lambda canary: system(canary, protocol)


def _called(target: Name) -> Make:
    return lambda canary: dumps(target(canary))


def _armed() -> Iterator[Case]:
    for module, attribute in ARMED:
        protocol = 4 if "." in attribute else 2

        def make(canary: str, pair: tuple[str, str] = (module, attribute), protocol: int = protocol) -> bytes:
            return dumps(_call(*pair, canary), protocol)

        yield Case(f"{module}.{attribute}.pkl", "calls", make, armed=True)


def _protocols() -> Iterator[Case]:
    """The plainest attack, by every opcode that calls and in every protocol."""

    def argument(canary: str) -> bytes:
        return text(f"touch {canary}")

    ways = {
        "reduce": lambda c: b"\x80\x02" + name("os", "system") + argument(c) + b"\x85R.",
        "inst": lambda c: b"(" + argument(c) + b"ios\nsystem\n.",
        "obj": lambda c: b"(" + name("os", "system") + argument(c) + b"o.",
        "newobj": lambda c: b"\x80\x02" + name("os", "system") + argument(c) + b"\x85\x81.",
        "newobj_ex": lambda c: b"\x80\x04" + name("os", "system") + argument(c) + b"\x85}\x92.",
        "newobj_class": lambda c: b"\x80\x02" + name("subprocess", "Popen") + argument(c) + b"\x85\x81.",
        "inst_popen": lambda c: b"(" + argument(c) + b"I-1\nNNNNNI01\nI01\nisubprocess\nPopen\n.",
        "list": lambda c: b"\x80\x02](" + name("os", "system") + argument(c) + b"\x85R0e.",
        "popped": lambda c: b"\x80\x02" + name("os", "system") + argument(c) + b"\x85R0}.",
        "popped_mark": lambda c: b"\x80\x02}(" + name("os", "system") + argument(c) + b"\x85R1.",
        "text_quoted": lambda c: b"cos\nsystem\n(S" + repr(f"touch {c}").encode() + b"\ntR.",
        "text_unicode": lambda c: b"cos\nsystem\n(V" + f"touch {c}".encode() + b"\ntR.",
        "leading_none": lambda c: b"N0cos\nsystem\n(V" + f"touch {c}".encode() + b"\ntR.",
        "leading_int": lambda c: b"I1\n0cos\nsystem\n(V" + f"touch {c}".encode() + b"\ntR.",
        "leading_hex": lambda c: b"}I0x7f\n0cos\nsystem\n(V" + f"touch {c}".encode() + b"\ntR.",
        "stack_global": lambda c: b"\x80\x04\x8c\x02os\x8c\x06system\x93" + argument(c) + b"\x85R.",
        "stack_global_memo": lambda c: (
            b"\x80\x04\x8c\x02os\x94\x8c\x06system\x94}\x94\x8c\x01x\x94000h\x00h\x01\x93" + argument(c) + b"\x85R."
        ),
        "stack_global_dup": lambda c: b"\x80\x04\x8c\x02os\x8c\x06system\x932" + argument(c) + b"\x85R0" + b"0}.",
        "stack_global_put": lambda c: (
            b"\x80\x04\x8c\x06systemp9\n0\x8c\x02osr\x00\x01\x00\x000j\x00\x01\x00\x00g9\n\x93"
            + argument(c)
            + b"\x85R."
        ),
        "stack_global_quoted": lambda c: b"\x80\x04S'o\\x73'\nS'sy\\163tem'\n\x93" + argument(c) + b"\x85R.",
        "stack_global_frame": lambda c: (
            b"\x80\x04\x95" + (16 + len(argument(c))).to_bytes(8, "little")
            + b"\x8c\x02os\x8c\x06system\x93" + argument(c) + b"\x85R."
        ),
        "dotted": lambda c: b"\x80\x04\x8c\x04glob\x8c\x09os.system\x93" + argument(c) + b"\x85R.",
        "number_to_zero": lambda c: b"\x80\x02I0\x00 anything\n0" + name("os", "system") + argument(c) + b"\x85R.",
        "lied_version": lambda c: b"\x80\x05\x80\x02" + name("os", "system") + argument(c) + b"\x85R.",
    }  # fmt: skip
    unarmed = {"newobj", "newobj_ex", "newobj_class"}
    for way, make in ways.items():
        yield Case(f"{way}.pt", "opcodes", make, armed=way not in unarmed)
    for protocol in range(6):
        yield Case(f"protocol_{protocol}.bin", "opcodes", _system_in(protocol), armed=True)


def cases() -> Iterator[Case]:
    yield from _armed()
    yield from _protocols()
    for dotted in NAMED:
        module, _, attribute = dotted.rpartition(".")
        yield Case(f"{dotted}.pth", "names", _called(Name(module, attribute)))
