from hedgerow.server.body_memory import BodyMemory


def test_what_has_no_room_is_not_counted() -> None:
    memory = BodyMemory(10)
    assert memory.take(10)
    assert not memory.take(1)
    assert memory.used == 10
    memory.give_back(4)
    assert memory.take(4)
