"""What a compiler for TPUs says of the stages of a recipe."""

import dataclasses
from collections.abc import Mapping

from rich import box
from rich.table import Table

from kertl.results import Result, table_text


@dataclasses.dataclass(frozen=True)
class CompiledStage:
    """The training step of one stage, compiled, not run."""

    stage: int
    """Its number, counted from 0."""
    at: str | int
    """Its boundary."""
    trained: int
    """Parameters that it trains."""
    collectives: Mapping[str, int]
    """How many operations of each kind move data between chips."""
    gflops: float
    """Arithmetic of a step on one chip, in 10^9 operations, as the compiler counts it."""
    gigabytes: float
    """Bytes that a step reads and writes on one chip, in 10^9, as the compiler counts them."""
    matmuls: Mapping[str, int]
    """Convolutions and matrix products of the step by the type of what they multiply: "bf16", "f32"."""
    compile_seconds: float
    """How long it took to compile."""


@dataclasses.dataclass(frozen=True, repr=False)
class Compilation(Result):
    """The training steps of a recipe, compiled for a TPU. It was not run: this says nothing about speed.

    Attributes:
        topology: The TPU, such as "v5e:2x2".
        chips: How many devices it has.
        batch_size: Images per step, of all chips together.
        precision: What the layers compute in.
        model: The name of the model.
        stages: Each stage that takes steps.
        notes: What was left out, and what would be compiled again while training.
    """

    topology: str
    chips: int
    batch_size: int
    precision: str
    model: str
    stages: tuple[CompiledStage, ...]
    notes: tuple[str, ...]

    def table(self) -> str:
        """A row for each stage, and the notes."""
        table = Table(box=box.SIMPLE)
        for heading in ("stage", "at", "trained", "GFLOP/chip", "GB/chip", "collectives", "multiplies in", "seconds"):
            table.add_column(heading, justify="left" if heading in ("at", "collectives", "multiplies in") else "right")
        for one in self.stages:
            table.add_row(
                str(one.stage + 1),
                str(one.at),
                f"{one.trained:,}",
                f"{one.gflops:.1f}",
                f"{one.gigabytes:.2f}",
                _listed(one.collectives) or "none",
                _listed(one.matmuls),
                f"{one.compile_seconds:.0f}",
            )
        head = (
            f"{self.model}, batches of {self.batch_size} images, {self.precision}: it compiles for {self.topology}, "
            f"{self.chips} chips. It was not run.\n"
        )
        return head + table_text(table) + "".join(f"- {note}\n" for note in self.notes)


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in counts.items())
