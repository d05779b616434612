"""The hardware to compute on: what is there, how models are spread over it, and who writes where several processes run.

`setup` gives a scope in which a script builds and trains; the script is the same on a laptop and on several machines.
"""

from typing import TYPE_CHECKING

from kertl._lazy import lazily

if TYPE_CHECKING:
    from kertl.hardware._choice import Choice, choose
    from kertl.hardware._data_parallel import shares
    from kertl.hardware._describe import cores, describe, devices, fits_on_device, on_accelerator
    from kertl.hardware._multi_worker import multi_worker
    from kertl.hardware._processes import processes, refuse_processes, share
    from kertl.hardware._scope import SCALINGS, Scope, precision_in_scope
    from kertl.hardware._setup import setup
    from kertl.hardware._strategy import replicas, scope_of
    from kertl.hardware._team import Team, team, team_of

__all__ = [
    "SCALINGS",
    "Choice",
    "Scope",
    "Team",
    "choose",
    "cores",
    "describe",
    "devices",
    "fits_on_device",
    "multi_worker",
    "on_accelerator",
    "precision_in_scope",
    "processes",
    "refuse_processes",
    "replicas",
    "scope_of",
    "setup",
    "share",
    "shares",
    "team",
    "team_of",
]

# The names that each module defines.
_HOMES = {
    "._choice": ("Choice", "choose"),
    "._data_parallel": ("shares",),
    "._describe": ("cores", "describe", "devices", "fits_on_device", "on_accelerator"),
    "._multi_worker": ("multi_worker",),
    "._processes": ("processes", "refuse_processes", "share"),
    "._scope": ("SCALINGS", "Scope", "precision_in_scope"),
    "._setup": ("setup",),
    "._strategy": ("replicas", "scope_of"),
    "._team": ("Team", "team", "team_of"),
}

if not TYPE_CHECKING:  # else any name at all would pass
    __getattr__, __dir__ = lazily(__name__, _HOMES)
