"""The optional parts of kertl: which packages each takes, and what it is for."""

import importlib.util
from collections.abc import Iterator

EXTRAS: dict[str, tuple[tuple[str, ...], str]] = {
    "adaptation": (("ot",), "optimal transport in `kertl adapt`"),
    "jax": (("jax",), "training on JAX (KERAS_BACKEND=jax), and so on TPUs"),
    "labels": (("cleanlab",), "wrong labels in `kertl.interpret` and the report"),
    "litert": (("ai_edge_litert",), "export to phones (LiteRT), checked against the model"),
    "nncf": (("nncf", "openvino"), "8-bit export to OpenVINO"),
    "onnx": (("onnx", "onnxruntime", "tf2onnx"), "export to ONNX"),
    "openvino": (("openvino",), "faster features on CPUs, export to OpenVINO"),
    "parquet": (("pyarrow",), "`kertl predict --out predictions.parquet`"),
    "ray": (("ray",), "`kertl predict --ray`, on a cluster"),
    "remote": (("fsspec",), "images and runs at addresses (s3://, gs://)"),
    "serve": (("starlette", "uvicorn", "python_multipart"), "`kertl serve`, a web page for predictions"),
    "tpu-compile": (("jax", "libtpu"), "`kertl compile`, for a TPU without one (Linux)"),
}
"""By the name to install: the modules that must be there, and what needs them."""


def missing_extras() -> Iterator[tuple[str, str]]:
    """Each extra of which a module is missing, and what it is for."""
    for name, (modules, purpose) in EXTRAS.items():
        if any(importlib.util.find_spec(module) is None for module in modules):
            yield name, purpose
