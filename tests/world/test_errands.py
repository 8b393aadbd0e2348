"""Errands in a house: what can be done, what is told, and when a reward comes."""

from __future__ import annotations

import pytest

from byheart.core.errors import BadInput
from byheart.world.control.errands import KINDS, ROOMS, House, State


def test_an_errand_is_done_in_five_steps_and_pays_half_for_the_thing() -> None:
    house = House(seed=3)
    for errand in house.errands():
        room, place = house.homes[errand.thing]
        state, gained = State(), []
        way = (f"go to the {room}", f"open the {place}", f"take the {errand.thing}", f"go to the {errand.room}")
        for action in (*way, f"leave it in the {errand.room}"):
            assert action in house.actions(state)
            state, reward = house.act(errand, state, action)
            gained.append(reward)
        assert gained == [0.0, 0.0, 0.5, 0.0, 0.5]
        assert state.over
        assert house.actions(state) == []


def test_the_wrong_room_ends_an_errand_without_a_reward() -> None:
    house = House(seed=0)
    errand = house.errands()[0]
    room, place = house.homes[errand.thing]
    state = State(room, place, errand.thing)
    state, reward = house.act(errand, state, f"leave it in the {room}")
    assert (state.over, reward) == (True, 0.0)
    with pytest.raises(BadInput, match="cannot be done now"):
        house.act(errand, state, "go to the attic")


def test_where_things_are_is_not_told_before_it_is_seen() -> None:
    house = House(seed=1)
    for room, within in ROOMS.items():
        assert not any(thing in house.see(State(room)) for kind in KINDS for thing in kind)
        for place in within:
            inside = [t for t, home in house.homes.items() if home == (room, place)]
            assert all(t in house.see(State(room, place)) for t in inside)
    assert House(seed=1).homes == house.homes != House(seed=2).homes
    for kind in KINDS:
        assert len({house.homes[t] for t in kind}) == 1
    with pytest.raises(BadInput, match="kinds=6"):
        House(kinds=6)
