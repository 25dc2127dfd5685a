"""Compiles every kernel of the GPU backend for three GPUs that need not be there: `python -m tests.triton_compiled`.

Not under TRITON_INTERPRET. One line of JSON per kernel and GPU: kernel, arch, ptx (its length), and, where cuobjdump
comes with Triton, registers and stack (bytes of local memory per thread: spilt registers); shared (bytes of shared
memory that a program needs).
"""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
import tempfile
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

ARCHITECTURES = (80, 90, 100)

_NOISE = {
    "output": "*fp32",
    "image": "*fp32",
    "photons": "*fp32",
    "sigma": "*fp32",
    "keys": "*i64",
    "count": "i32",
    "blocks": "i32",
}
_NORMALS = {"output": "*fp32", "keys": "*i64", "tag": "i64", "count": "i32", "blocks": "i32"}
_SIZES = dict.fromkeys(("row_stride", "stride", "length", "spots", "height", "width"), "i32")
_TABLES = {"rows": "*fp32", "records": "*fp32"} | dict.fromkeys(
    ("row_stride", "stride", "spots", "side", "field_length", "blur_length", "spot_length"), "i32"
)
_FIELDS = {"rows": "*fp32", "tables": "*fp32", "across": "*fp16"} | _SIZES
_SUMS = {"image": "*fp32", "mask": "*fp32", "fields": "*fp16", "rows": "*fp32", "partial": "*fp32"} | dict.fromkeys(
    ("row_stride", "pixels", "parts", "span"), "i32"
)
_LIGHT = dict.fromkeys(("image", "mask", "rows", "records", "partial", "target", "result"), "*fp32")
_LIGHT |= {"fields": "*fp16", "parts": "i32"} | _SIZES
_BLUR = dict.fromkeys(("source", "mask", "rows", "records", "target"), "*fp32")
_BLUR |= _SIZES
_ADDED = dict.fromkeys(("source", "mask", "rows", "result"), "*fp32") | {"scale": "fp32", "tag": "i64"}
_ADDED |= dict.fromkeys(("row_stride", "pixels", "count", "blocks", "programs"), "i32")
_TILE = {"CHANNELS": 3, "ROWS": 16, "COLUMNS": 64}
_DOWN = {"ROWS": 64, "COLUMNS": 128, "DEPTH": 32}

_FIELDS_AT, _STAGES_AT = "degrade.models.fundus.gpu_fields", "degrade.models.fundus.gpu_stages"
_NOISE_AT = "degrade.models.poisson_gaussian.gpu"

KERNELS: list[tuple[str, str, dict[str, str], dict[str, Any]]] = [
    ("degrade.rng.gpu", "normals_kernel", _NORMALS, {"BLOCK": 256}),
    (_NOISE_AT, "noise_kernel", _NOISE, {"CLIP": True, "BLOCK": 256}),
    (_NOISE_AT, "noise_kernel", _NOISE, {"CLIP": False, "BLOCK": 256}),
    *(
        (
            _NOISE_AT,
            "noise_kernel",
            _NOISE | {"output": kind, "image": kind},
            {"CLIP": True, "BLOCK": 256},
        )
        for kind in ("*fp16", "*bf16")
    ),
    (_FIELDS_AT, "_tables", _TABLES, {}),
    (_FIELDS_AT, "_blur_chords", _FIELDS, {"ROWS": 32, "COLUMNS": 64}),
    (_FIELDS_AT, "_blur_down", _FIELDS | {"result": "*fp16"}, _DOWN),
    *((_STAGES_AT, "sums", _SUMS, {"STAGE": i, "CHANNELS": 3, "BLOCK": 1024}) for i in range(3)),
    (
        _STAGES_AT,
        "sums",
        _SUMS | {"image": "*bf16"},
        {"STAGE": 2, "CHANNELS": 1, "BLOCK": 1024},
    ),
    (_STAGES_AT, "light", _LIGHT, {"COUNT": 16, **_TILE}),
    (
        _STAGES_AT,
        "light",
        _LIGHT | {"image": "*fp16", "result": "*fp16"},
        {"COUNT": 0, **_TILE},
    ),
    (_STAGES_AT, "blur", _BLUR, {"AXIS": 1, "MASKED": False, **_TILE}),
    (_STAGES_AT, "blur", _BLUR, {"AXIS": 0, "MASKED": True, **_TILE}),
    (_STAGES_AT, "blur", _BLUR | {"target": "*bf16"}, {"AXIS": 0, "MASKED": True, **_TILE}),
    (_STAGES_AT, "noise", _ADDED, {"BLOCK": 1024}),
]
"""Module, kernel, types of the arguments, values of the constexprs. A module's OPTIONS, if any, are its launches'."""


def compile_kernel(module: str, name: str, signature: dict[str, str], constants: dict[str, Any], arch: int) -> Any:
    """What `triton.compile` returns, with asm["ptx"] and asm["cubin"]; pointers are taken to be aligned to 16 bytes."""
    home = importlib.import_module(module)
    kernel = getattr(home, name)
    places = {argument: (place,) for place, argument in enumerate(kernel.arg_names)}
    source = ASTSource(
        fn=kernel,
        signature={argument: signature.get(argument, "constexpr") for argument in kernel.arg_names},
        constexprs={places[argument]: value for argument, value in constants.items()},
        attrs={
            places[argument]: [["tt.divisibility", 16]] for argument, kind in signature.items() if kind.startswith("*")
        },
    )
    return triton.compile(source, target=GPUTarget("cuda", arch, 32), options=dict(getattr(home, "OPTIONS", {})))


def usage(cubin: bytes) -> dict[str, int]:
    """Registers and bytes of stack per thread; empty where cuobjdump is missing."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        try:
            tool = triton.knobs.nvidia.cuobjdump.path
            text = subprocess.run([tool, "-res-usage", file.name], capture_output=True, text=True, check=True).stdout
        except (AttributeError, OSError, RuntimeError, subprocess.CalledProcessError):
            return {}
    found = re.search(r"REG:(\d+) STACK:(\d+)", text)
    return {"registers": int(found[1]), "stack": int(found[2])} if found else {}


def main() -> None:
    """All kernels, or those of the modules named on the command line."""
    for module, name, signature, constants in KERNELS:
        if sys.argv[1:] and module not in sys.argv[1:]:
            continue
        for arch in ARCHITECTURES:
            compiled = compile_kernel(module, name, signature, constants, arch)
            line = {"kernel": name, "arch": arch, "ptx": len(compiled.asm["ptx"]), "shared": compiled.metadata.shared}
            print(json.dumps(line | usage(compiled.asm["cubin"])), flush=True)


if __name__ == "__main__":
    main()
