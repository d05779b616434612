"""The hardware to compute on: what is there, how models are spread over it, and who writes where several processes run.

`setup` gives a scope in which a script builds and trains; the script is the same on a laptop and on several machines.
"""

from kertl.hardware._choice import Choice, choose
from kertl.hardware._describe import cores, describe
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
    "multi_worker",
    "precision_in_scope",
    "processes",
    "refuse_processes",
    "replicas",
    "scope_of",
    "setup",
    "share",
    "team",
    "team_of",
]
