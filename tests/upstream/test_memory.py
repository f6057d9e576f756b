"""Memory forgets by number, by size and by age, and never returns what it should have forgotten."""

from guardrail.upstream.memory import Memory


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_what_was_put_is_there_until_it_is_too_old():
    clock = Clock()
    memory: Memory[str] = Memory(age_s=10.0, clock=clock)
    memory.put("job", "what was asked")
    clock.now = 10.0
    assert memory.get("job") == "what was asked"
    clock.now = 10.1
    assert memory.get("job") is None
    assert len(memory) == 0


def test_the_oldest_go_first_when_there_are_too_many():
    memory: Memory[int] = Memory(entries=2)
    for number in range(3):
        memory.put(number, number)
    assert [memory.get(number) for number in range(3)] == [None, 1, 2]


def test_the_oldest_go_first_when_they_are_too_large():
    memory: Memory[str] = Memory(size=100)
    memory.put("a", "a", 60)
    memory.put("b", "b", 40)
    assert memory.get("a") == "a"
    memory.put("c", "c", 1)
    assert (memory.get("a"), memory.get("b"), memory.get("c")) == (None, "b", "c")


def test_what_is_larger_than_all_the_room_is_not_kept_and_pushes_nothing_out():
    memory: Memory[str] = Memory(size=100)
    memory.put("a", "a", 60)
    memory.put("b", "b", 101)
    assert (memory.get("a"), memory.get("b")) == ("a", None)


def test_a_new_value_takes_the_place_and_the_age_of_the_old_one():
    clock = Clock()
    memory: Memory[str] = Memory(size=100, age_s=10.0, clock=clock)
    memory.put("a", "old", 90)
    clock.now = 6.0
    memory.put("a", "new", 90)
    clock.now = 12.0
    assert memory.get("a") == "new"
    memory.forget("a")
    memory.forget("a")
    memory.put("b", "b", 100)
    assert memory.get("b") == "b"
