"""Errands in a house, described in words: fetch a thing from its place and leave it in another room.

The places of things are not stated and must be learned; a reward comes only at the end. Of the kind of ALFWorld
(arXiv:2010.03768) and of the tasks of WebShop and WikiHow in arXiv:2306.07929: a text to read, a list of actions, few
of them useful.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from byheart.core.errors import BadInput

ROOMS = {
    "kitchen": ("cupboard", "drawer"),
    "study": ("desk", "shelf"),
    "cellar": ("chest", "rack"),
    "attic": ("trunk", "basket"),
    "garage": ("locker", "toolbox"),
}
KINDS = (
    ("mug", "kettle", "saucepan"),
    ("hammer", "screwdriver", "pliers"),
    ("atlas", "dictionary", "notebook"),
    ("blanket", "pillow", "quilt"),
    ("violin", "flute", "trumpet"),
)
"""Things of the same kind lie in the same place."""


@dataclass(frozen=True)
class Errand:
    """What is to be done: bring `thing` to `room`."""

    thing: str
    room: str

    @property
    def text(self) -> str:
        """The errand as it is given to an agent."""
        return f"Bring the {self.thing} to the {self.room}."


@dataclass(frozen=True)
class State:
    """Where an agent is, what stands open there, what it holds; `over` when the errand has ended."""

    room: str = "hall"
    opened: str | None = None
    holds: str | None = None
    over: bool = False


class House:
    """A house whose things lie in places drawn by a seed.

    Parameters
    ----------
    kinds: how many kinds of three things, at most 5. seed: of the places.

    >>> house = House(seed=1)
    >>> errand = house.errands()[0]
    >>> state, reward = house.act(errand, State(), "go to the attic")
    >>> house.see(state), reward
    ('You are in the attic. There are a trunk and a basket. You hold nothing.', 0.0)
    """

    def __init__(self, *, kinds: int = 5, seed: int = 0) -> None:
        if not 1 <= kinds <= len(KINDS):
            raise BadInput(f"kinds={kinds} is not between 1 and {len(KINDS)}; give a number of kinds of things")
        places = [(room, place) for room, within in ROOMS.items() for place in within]
        order = np.random.default_rng(seed).permutation(len(places))
        self.homes = {thing: places[order[n]] for n, kind in enumerate(KINDS[:kinds]) for thing in kind}

    def errands(self) -> list[Errand]:
        """Every thing to every room in which it does not lie."""
        return [Errand(thing, room) for thing, (own, _) in self.homes.items() for room in ROOMS if room != own]

    def see(self, state: State) -> str:
        """The description of a state for an agent."""
        sentences = [f"You are in the {state.room}."]
        if state.room in ROOMS:
            sentences.append("There are a {} and a {}.".format(*ROOMS[state.room]))
        if state.opened:
            within = self._within(state)
            sentences.append(f"The {state.opened} is open; in it: {', '.join(within) if within else 'nothing'}.")
        return " ".join([*sentences, f"You hold the {state.holds}." if state.holds else "You hold nothing."])

    def actions(self, state: State) -> list[str]:
        """What can be done; nothing when the errand is over."""
        if state.over:
            return []
        can = [f"go to the {room}" for room in ROOMS if room != state.room]
        can += [f"open the {place}" for place in ROOMS.get(state.room, ()) if place != state.opened]
        if state.holds:
            return [*can, f"leave it in the {state.room}"]
        return [*can, *(f"take the {thing}" for thing in self._within(state))]

    def act(self, errand: Errand, state: State, action: str) -> tuple[State, float]:
        """The state after an action and the reward: 1 when the errand is done, 0 else. Leaving a thing ends it."""
        if action not in self.actions(state):
            raise BadInput(f"{action!r} cannot be done now; choose from {self.actions(state)}")
        verb, _, what = action.partition(" ")[0], *action.partition("the ")[1:]
        if verb == "go":
            return State(what, None, state.holds), 0.0
        if verb == "open":
            return State(state.room, what, state.holds), 0.0
        if verb == "take":
            return State(state.room, state.opened, what), 0.5 * (what == errand.thing)
        done = (state.holds, state.room) == (errand.thing, errand.room)
        return State(state.room, state.opened, None, over=True), 0.5 * done

    def _within(self, state: State) -> list[str]:
        """The things in what stands open, without the thing that is held."""
        place = (state.room, state.opened)
        return [thing for thing, home in self.homes.items() if home == place and thing != state.holds]
