"""What layers compute in while they train, by accelerator; weights stay float32."""

from typing import Any

PRECISIONS = ("float32", "mixed_bfloat16", "mixed_float16")
# Compute capability from which tensor cores take a type: Volta, Ampere.
_HALF, _BRAIN = (7, 0), (8, 0)


def precision_for(kind: str, backend: str) -> tuple[str, str]:
    """The precision that "auto" means for an accelerator, and why.

    On a CPU it is float32: what bfloat16 gains or loses in training there has not been measured.
    """
    if kind == "tpu":
        return "mixed_bfloat16", "A TPU multiplies in bfloat16."
    if kind == "cpu":
        return "float32", "On a CPU layers compute in float32."
    capability = _capability(backend)
    if capability is None:
        return "float32", "The GPU does not say what it computes fast."
    named = f"The GPU has compute capability {capability[0]}.{capability[1]}"
    if capability >= _BRAIN:
        return "mixed_bfloat16", f"{named}: bfloat16."
    if capability >= _HALF:
        return "mixed_float16", f"{named}: float16, with the loss scaled."
    return "float32", f"{named}: no faster type than float32."


def _capability(backend: str) -> tuple[int, int] | None:
    """The least compute capability of the GPUs."""
    found: list[Any] = []
    if backend == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        found = [tf.config.experimental.get_device_details(gpu).get("compute_capability") for gpu in gpus]
    elif backend == "jax":
        import jax

        told = [getattr(device, "compute_capability", None) for device in jax.devices("gpu")]
        found = [tuple(map(int, text.split("."))) if text else None for text in told]
    else:
        import torch

        found = [torch.cuda.get_device_capability(number) for number in range(torch.cuda.device_count())]
    return None if not found or None in found else min((int(major), int(minor)) for major, minor in found)
