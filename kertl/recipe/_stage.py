"""One stage of a recipe, and the words that its fields may be."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

from kertl._checks import complain, integer, number, one_of, pair
from kertl._transformations import checked_augment
from kertl.recipe._clashes import refuse_clashes

SCHEDULES = (
    "one_cycle",
    "cosine",
    "warmup_cosine",
    "cosine_restarts",
    "step",
    "triangular",
    "slanted_triangular",
    "constant",
)
LOSSES = ("auto", "focal", "mse", "mae", "huber")
OPTIMIZERS = ("adamw", "adam", "sgd", "sgd_nesterov", "rmsprop", "lion", "muon")
SOLVERS = ("gradient", "exact")


def _loss_name(loss: Any) -> str:
    """The name of a loss: one of `LOSSES`, or the name under which a function is registered with Keras."""
    if callable(loss):
        import keras

        name = keras.saving.get_registered_name(loss)
        if keras.saving.get_registered_object(name) is not loss:
            raise complain(
                "loss",
                "a function that is registered with Keras",
                loss,
                "Put `@keras.saving.register_keras_serializable()` before it.",
            )
        return str(name)
    if not isinstance(loss, str) or ">" not in loss:
        one_of("loss", loss, LOSSES)
    return str(loss)


def _size(value: Any) -> tuple[int, int]:
    height, width = pair("image_size", value, at_least=32)
    if height % 32 or width % 32:
        raise complain(
            "image_size",
            "(height, width), multiples of 32",
            value,
            "Convolutions with strides pad other sizes differently from how the weights were trained.",
        )
    return height, width


@dataclasses.dataclass(frozen=True)
class Stage:
    """One stage of training: what trains, for how long, and how fast.

    Attributes:
        at: The boundary from which on the model trains: "deep", "mid", "full", the name of a layer group, or a number
            of groups.
        solver: "gradient": by steps of an optimizer. "exact": the head, which must be a single Dense layer after the
            boundary "deep", becomes the minimum of its loss on cached features, with an L2 penalty that is chosen on
            the validation set, or by leaving out a fifth of the images at a time. The features are standardised, which
            the layer takes in. Of the fields below, those of images, classes and `label_smoothing` count, and `augment`
            only with `views`.
        epochs: How often training goes through the images; >= 1. By default 5; always 1 if the solver is "exact".
        learning_rate: The highest learning rate, > 0; or `(low, high)` for the first layer group that trains and for
            the head, with a geometric progression between them; or "auto": what a range test at the start of the stage
            suggests, or the rate of the named recipes where that test suggests nothing.
        layer_decay: The rate of each layer group as a share of that of the next group towards the head;
            0 < decay <= 1.
        schedule: "one_cycle" (up for three tenths of the steps, then down to nearly zero), "cosine" (down to zero),
            "warmup_cosine" (a linear warm-up for a tenth of the steps first), "cosine_restarts" (three times down to
            zero, each time over twice as many steps), "step" (a tenth after half of the steps, a hundredth after three
            quarters), "triangular" (four times up from a quarter of the rate and down again), "slanted_triangular" (up
            for a tenth of the steps, then linearly down), "constant".
        optimizer: "adamw", "adam", "sgd" or "sgd_nesterov" (momentum 0.9), "rmsprop", "lion" or "muon".
        weight_decay: Share of each weight that a step at rate 1 takes away; >= 0. Biases and BatchNorm are left out.
        loss: "auto": cross-entropy, or "mse" in a regression; "focal": cross-entropy in which an example that is
            already predicted well counts less, by `(1 - p) ** 2`; "mse", "mae" or "huber" for a regression, each target
            in units of its standard deviation; or a function of truth and predictions that is registered with Keras
            (`@keras.saving.register_keras_serializable`), or its name there.
        label_smoothing: Share of the target that is distributed over all classes; 0 <= smoothing < 1. By default 0.1,
            and 0 if the solver is "exact". Without effect in a regression.
        class_weights: True: every class counts equally in the loss, however many images it has, which is better for the
            rare classes and worse for the accuracy over all images. "effective": by `kertl.data.effective_weights`,
            which raises rare classes less. False: every image counts equally.
        oversample: Whether every class is drawn equally often, as in `kertl.data.ImageData.oversampled`; not together
            with class weights.
        augment: How the training images are varied: "none", "light", "strong", or a list of names and of pairs of name
            and amount such as `["flip", ("rotation", 0.02)]`; `kertl.data.augment.layers` lists them.
        mixup: Above 0, each training image, or its features where they are cached, is mixed with another of its batch,
            and the labels with them; its own share is drawn from Beta(mixup, mixup), usually with 0.1 to 0.4. The
            training accuracy then compares the prediction with the label of the greater share.
        cutmix: Above 0, a rectangle of each training image is replaced by that of another of its batch, and the labels
            are mixed according to the area; the area that stays is drawn from Beta(cutmix, cutmix), usually with 1. Not
            in a regression, nor on features. Where `mixup` is above 0 too, each batch gets one of the two, at random.
        batch_norm: What the backbone's BatchNorm layers after the boundary do: "frozen" or "train".
        cache: Whether the part before the boundary runs once and its features are cached for all epochs: True, False,
            or "auto": if there is room for them, and `augment` is "none" or there are more epochs than `views`, which
            are above 0.
        views: How many augmented versions of each training image are cached as features, another one for each epoch; 0
            caches the plain image, which goes with `augment` "none"; >= 0.
        patience_epochs: Stop after so many epochs without a better validation loss; >= 1. None goes through all epochs.
        until_below_validation: Stop as soon as the training loss, which dropout and augmentation raise, is below the
            validation loss.
        ema: Above 0, the exponential moving average of the weights is validated and kept; each step keeps this share of
            it, usually 0.98 to 0.999; 0 <= ema < 1.
        l2_sp: Pull of the backbone's weights towards those that the run began with: half of it times the squared
            distance is added to the loss; >= 0.
        lora_rank: Above 0, of the backbone only low-rank factors train: each kernel of a Dense or EinsumDense layer or
            of a 1x1 convolution after the boundary becomes `kernel + a b`, with this many columns in `a` (LoRA, Hu et
            al. 2021, https://arxiv.org/abs/2106.09685). When the stage ends they are merged into the kernels. The head
            trains as usual; usually 4 to 16, with a rate some ten times that of the kernels.
        gradient_checkpointing: Whether, of what the layer groups of the backbone after the boundary compute, only what
            goes in and out is kept, and the rest computed again for the gradient: less memory, more time, the same
            weights. Groups with Dropout, or with BatchNorm that trains, are computed once, as usual (Chen et al. 2016,
            https://arxiv.org/abs/1604.06174).
        quantize: "int8" trains the whole model as it computes in 8 bits: kernels and activations are rounded in the
            forward pass, and the gradient passes the rounding as if it were not there (quantisation-aware training,
            Jacob et al. 2018, https://arxiv.org/abs/1712.05877). Ranges of activations, and the statistics of a
            BatchNorm that trains, are observed in the first half of the epochs, and then stay. The model remains a
            plain one, with the ranges noted in it, which `kertl.export(..., quantize="int8")` uses. Such stages come
            last, since they are for the export; usually 2 to 5 epochs at a tenth of the rate before. None trains in
            float.
        image_size: Train at `(height, width)`, multiples of 32, instead of the size of the data; None stays at that.
        batch_size: Images per step, >= 1; "full" for all of them; None for the batch size of the data.

    Raises:
        ValueError: If a value is outside its range.

    Example:
        >>> import kertl
        >>> kertl.Stage("deep", epochs=5).learning_rate
        0.001
    """

    at: str | int
    _: dataclasses.KW_ONLY
    solver: str = "gradient"
    epochs: int = None  # type: ignore[assignment]
    learning_rate: float | tuple[float, float] | str = 1e-3
    layer_decay: float = 1.0
    schedule: str = "one_cycle"
    optimizer: str = "adamw"
    weight_decay: float = 1e-4
    loss: str | Callable[..., Any] = "auto"
    label_smoothing: float = None  # type: ignore[assignment]
    class_weights: bool | str = False
    oversample: bool = False
    augment: str | Sequence[Any] = "light"
    mixup: float = 0.0
    cutmix: float = 0.0
    batch_norm: str = "frozen"
    cache: str | bool = "auto"
    views: int = 0
    patience_epochs: int | None = None
    until_below_validation: bool = False
    ema: float = 0.0
    l2_sp: float = 0.0
    lora_rank: int = 0
    gradient_checkpointing: bool = False
    quantize: str | None = None
    image_size: tuple[int, int] | None = None
    batch_size: int | str | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.at, (str, int)) or isinstance(self.at, bool):
            raise complain("at", "'deep', 'mid', 'full', the name of a layer group, or a number of groups", self.at)
        if isinstance(self.at, int):
            integer("at", self.at, at_least=0)
        self._fill_in()
        integer("epochs", self.epochs, at_least=1)
        self._check_rates()
        one_of("schedule", self.schedule, SCHEDULES)
        one_of("optimizer", self.optimizer, OPTIMIZERS)
        number("weight_decay", self.weight_decay, at_least=0)
        number("label_smoothing", self.label_smoothing, at_least=0, below=1)
        one_of("class_weights", self.class_weights, (True, False, "effective"))
        one_of("oversample", self.oversample, (True, False))
        object.__setattr__(self, "augment", checked_augment(self.augment))
        number("mixup", self.mixup, at_least=0)
        number("cutmix", self.cutmix, at_least=0)
        one_of("batch_norm", self.batch_norm, ("frozen", "train"))
        one_of("cache", self.cache, ("auto", True, False))
        integer("views", self.views, at_least=0)
        if self.patience_epochs is not None:
            integer("patience_epochs", self.patience_epochs, at_least=1)
        object.__setattr__(self, "loss", _loss_name(self.loss))
        one_of("until_below_validation", self.until_below_validation, (True, False))
        number("ema", self.ema, at_least=0, below=1)
        number("l2_sp", self.l2_sp, at_least=0)
        integer("lora_rank", self.lora_rank, at_least=0)
        one_of("gradient_checkpointing", self.gradient_checkpointing, (True, False))
        one_of("quantize", self.quantize, (None, "int8"))
        if self.image_size is not None:
            object.__setattr__(self, "image_size", _size(self.image_size))
        if isinstance(self.batch_size, str):
            one_of("batch_size", self.batch_size, ("full",))
        elif self.batch_size is not None:
            integer("batch_size", self.batch_size, at_least=1)
        refuse_clashes(self)
        if self.solver == "exact" and not self.views:
            object.__setattr__(self, "augment", "none")

    def _fill_in(self) -> None:
        """Set what depends on the solver where it was left out."""
        exact = one_of("solver", self.solver, SOLVERS) == "exact"
        epochs: Any = self.epochs
        if epochs is None:
            object.__setattr__(self, "epochs", 1 if exact else 5)
        smoothing: Any = self.label_smoothing
        if smoothing is None:
            object.__setattr__(self, "label_smoothing", 0.0 if exact else 0.1)

    def _check_rates(self) -> None:
        number("layer_decay", self.layer_decay, above=0, at_most=1)
        rate = self.learning_rate
        if isinstance(rate, (tuple, list)) and len(rate) == 2:
            number("learning_rate", rate[1], at_least=number("learning_rate", rate[0], above=0))
            object.__setattr__(self, "learning_rate", tuple(rate))
        elif isinstance(rate, (str, tuple, list)):
            if rate != "auto":
                raise complain("learning_rate", "a number > 0, (low, high), or 'auto'", rate)
        else:
            number("learning_rate", rate, above=0)

    @property
    def peak(self) -> Any:
        """The highest learning rate, that of the head; or "auto"."""
        return self.learning_rate[1] if isinstance(self.learning_rate, tuple) else self.learning_rate
