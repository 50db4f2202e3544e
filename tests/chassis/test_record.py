"""What a record is: a value that nobody changes."""

import dataclasses
from collections.abc import Mapping
from dataclasses import field

import pytest

from chassis.record import record, replace


@record
class Parcel:
    """What is sent."""

    name: str
    stops: tuple[str, ...] = ()
    labels: Mapping[str, str] = field(default_factory=dict)
    """What is written on it."""

    @property
    def far(self) -> bool:
        """Whether it goes by several stops."""
        return len(self.stops) > 1


def test_a_record_is_compared_by_its_values() -> None:
    parcel = Parcel(name="lamp", stops=("Bern", "Chur"))
    assert parcel == Parcel(name="lamp", stops=("Bern", "Chur"))
    assert parcel != Parcel(name="lamp")
    assert parcel.far
    assert not Parcel(name="lamp").far


@record
class Stop:
    """Where it passes."""

    place: str
    minutes: int = 0


def test_equal_records_are_one_in_a_set() -> None:
    assert len({Stop(place="Bern"), Stop(place="Bern"), Stop(place="Chur")}) == 2


def test_a_record_is_made_by_keywords() -> None:
    with pytest.raises(TypeError):
        Stop("Bern")  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="place"):
        Stop()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="hours"):
        Stop(place="Bern", hours=1)  # type: ignore[call-arg]


def test_nobody_changes_a_record() -> None:
    stop = Stop(place="Bern")
    with pytest.raises(AttributeError):
        stop.place = "Chur"  # type: ignore[misc]
    with pytest.raises(AttributeError):
        stop.hours = 1  # type: ignore[attr-defined]
    assert stop == Stop(place="Bern")


def test_what_is_made_by_default_is_made_for_each() -> None:
    one, other = Parcel(name="lamp"), Parcel(name="lamp")
    assert one.labels == {}
    assert one.labels is not other.labels


@pytest.mark.parametrize("copy", [replace, dataclasses.replace], ids=["record", "dataclasses"])
def test_a_copy_has_other_values_where_they_are_given(copy: object) -> None:
    assert callable(copy)
    stop = Stop(place="Bern", minutes=5)
    assert copy(stop, minutes=7) == Stop(place="Bern", minutes=7)
    assert stop.minutes == 5
    with pytest.raises(TypeError):
        copy(stop, hours=1)


def test_a_record_says_what_it_is() -> None:
    assert repr(Stop(place="Bern")) == "Stop(place='Bern', minutes=0)"
    assert (Stop.__name__, Stop.__module__, Stop.__doc__) == ("Stop", __name__, "Where it passes.")
    assert [it.name for it in dataclasses.fields(Stop)] == ["place", "minutes"]
