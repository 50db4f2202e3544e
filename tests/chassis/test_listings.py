"""A list goes on where it was, and nowhere else."""

from chassis.listings import Listing, read_listing
from chassis.validation import Violations


def read(violations: Violations, *, listed: str, page_token: str) -> Listing:
    return read_listing(
        violations,
        listed=listed,
        page_size=0,
        page_token=page_token,
        states=[1],
        state_names={1: "CANCELLED"},
        subject="c1",
        create_time_after=None,
        create_time_before=None,
    )


def test_a_token_goes_on_with_the_list_it_is_from_and_with_no_other() -> None:
    first = read(Violations(), listed="orders", page_token="")
    token = first.token((17, "ord_1"))

    assert (17, "ord_1") == read(Violations(), listed="orders", page_token=token).after

    violations = Violations()
    assert read(violations, listed="payments", page_token=token).after is None
    assert 1 == len(violations)
