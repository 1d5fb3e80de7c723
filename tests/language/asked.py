"""Random instructions for property tests."""

from hypothesis import strategies as st

from embodied_cf.language import nav
from embodied_cf.language.instruction import (
    COLOURS,
    DOOR,
    KINDS,
    WALL,
    ArcAround,
    Chain,
    Do,
    FollowWall,
    GoTo,
    KeepSide,
    PassBetween,
    StopBeside,
    Thing,
)

sides = st.sampled_from(["left", "right"])
things = st.builds(Thing, st.sampled_from([*KINDS, DOOR]), st.sampled_from(["", *COLOURS]))
clauses = st.one_of(
    st.builds(GoTo, things, st.none() | things),
    st.builds(StopBeside, things, sides),
    st.builds(PassBetween, things, things | st.just(Thing(WALL))),
    st.builds(FollowWall, sides),
    st.builds(KeepSide, sides),
    st.builds(ArcAround, things, sides),
    st.builds(Do, st.sampled_from(nav.VOCABULARY.names)),
)
chains = st.builds(Chain, st.lists(clauses, min_size=2, max_size=4).map(tuple))
instructions = st.one_of(clauses, chains)
