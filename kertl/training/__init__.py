"""One way from a stage to a fitted model, for everything that trains.

Learner      what is trained: the model itself, or a copy
Given        the images that it is given: all, or without a fold
FeaturePool  features of what is frozen, extracted once
choose       whether a stage trains on features or on images
StageFit     a stage, compiled
Attempt      one fit of it, with the callbacks that belong to it
Trainee      a recipe that is trained again and again, on a copy
train_on_domains  a stage on features of two domains, without labels of the one
found_rate   the learning rate of a stage whose rate is "auto"
"""

from kertl.training._accumulate import normalising, undivided_reason
from kertl.training._choice import LIVE, choose
from kertl.training._compile import compile_for, compile_with, loss_of, rates_by_group, schedule_of, usual_stage
from kertl.training._domain_losses import coral_loss, entropy_loss, mmd_loss
from kertl.training._entropy import train_on_entropy
from kertl.training._exact import give_head, refuse_other_heads, solvable_head, solve_head
from kertl.training._given import Given
from kertl.training._head import head_for, with_head
from kertl.training._learner import Learner, put_back, values_of
from kertl.training._low_rank import factors_added, refuse_without_low_rank
from kertl.training._material import Material, OnFeatures, OnImages
from kertl.training._pool import FeaturePool
from kertl.training._pull import L2SP, pulled
from kertl.training._rate import RateFinder, found_rate, trial_fit
from kertl.training._recompute import refuse_without_recomputable
from kertl.training._reverse_gradient import ReverseGradient
from kertl.training._stage import Attempt, StageFit, Trained
from kertl.training._support import (
    UNSUPPORTED,
    WITHOUT_VALIDATION,
    Unsupported,
    refuse_unsupported,
    support_table,
    unsupported,
)
from kertl.training._trainee import Lesson, Trainee
from kertl.training._two_domains import DISTANCES, train_on_domains

__all__ = [
    "DISTANCES",
    "L2SP",
    "LIVE",
    "UNSUPPORTED",
    "WITHOUT_VALIDATION",
    "Attempt",
    "FeaturePool",
    "Given",
    "Learner",
    "Lesson",
    "Material",
    "OnFeatures",
    "OnImages",
    "RateFinder",
    "ReverseGradient",
    "StageFit",
    "Trained",
    "Trainee",
    "Unsupported",
    "choose",
    "compile_for",
    "compile_with",
    "coral_loss",
    "entropy_loss",
    "factors_added",
    "found_rate",
    "give_head",
    "head_for",
    "loss_of",
    "mmd_loss",
    "normalising",
    "pulled",
    "put_back",
    "rates_by_group",
    "refuse_other_heads",
    "refuse_unsupported",
    "refuse_without_low_rank",
    "refuse_without_recomputable",
    "schedule_of",
    "solvable_head",
    "solve_head",
    "support_table",
    "train_on_domains",
    "train_on_entropy",
    "trial_fit",
    "undivided_reason",
    "unsupported",
    "usual_stage",
    "values_of",
    "with_head",
]
