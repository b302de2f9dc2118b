"""What all faults together left in the table; its name makes it the last file of the folder."""

from tests.attacks import watch
from tests.attacks.world import World
from tests.faults.corpus import sessions_in


def test_a_dump_after_every_fault_yields_no_secret(world: World, spent: set[str]) -> None:
    world.fill_table()
    assert sessions_in(world) > 2
    assert watch.leaks(world.dump(), {**world.unstored, "spent": spent}) == []
