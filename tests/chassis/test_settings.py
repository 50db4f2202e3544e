from collections.abc import Sequence

import pytest
from pydantic import Field

from chassis.settings import (
    DatabaseUrl,
    Listen,
    SettingDoc,
    Settings,
    Target,
    describe,
    load,
    misspelt,
    redacted,
)

PASSWORD = "hunter2"


class ShopSettings(Settings):
    """What a shop can be told."""

    shop_listen: Listen = Field(default="127.0.0.1:50099", description="Where the shop listens.")
    shop_database_url: DatabaseUrl = Field(
        default=f"postgresql://shop:{PASSWORD}@db/shop", description="Where it keeps things."
    )
    shop_target: Target = Field(default="127.0.0.1:50098", description="Where it is dialled.")
    shop_open: bool = Field(default=True, description="Whether it is open; 100% or not.")
    shop_limit: int | None = Field(default=None, description="How many may come in.")


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for doc in describe(ShopSettings):
        monkeypatch.delenv(doc.env, raising=False)


def read(*argv: str) -> ShopSettings:
    return load(ShopSettings, argv, program="shop", description="A shop.")


def complaint(capsys: pytest.CaptureFixture[str], argv: Sequence[str]) -> str:
    """What is said on stderr, once it is known that it is one line, without the password."""
    with pytest.raises(SystemExit) as caught:
        read(*argv)
    assert caught.value.code == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert PASSWORD not in err
    assert err.endswith("\n")
    assert err.count("\n") == 1
    return err


def test_without_a_word_the_defaults_hold() -> None:
    settings = read()
    assert settings.shop_listen == "127.0.0.1:50099"
    assert settings.shop_open is True
    assert settings.log_level == "info"
    assert settings.drain_grace_seconds == 10
    assert settings.message_bytes_max == 4 * 1024 * 1024


def test_the_environment_wins_over_a_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_SHOP_LISTEN", "0.0.0.0:1")
    monkeypatch.setenv("OMS_SHOP_OPEN", "false")
    monkeypatch.setenv("OMS_DRAIN_GRACE_SECONDS", "2.5")
    settings = read()
    assert settings.shop_listen == "0.0.0.0:1"
    assert settings.shop_open is False
    assert settings.drain_grace_seconds == 2.5


def test_a_flag_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_SHOP_LISTEN", "127.0.0.1:1")
    assert read("--shop-listen", "127.0.0.1:2").shop_listen == "127.0.0.1:2"
    assert read("--shop-listen=[::1]:0").shop_listen == "[::1]:0"


def test_an_empty_variable_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_SHOP_LISTEN", "")
    monkeypatch.setenv("OMS_SHOP_LIMIT", "")
    settings = read()
    assert settings.shop_listen == "127.0.0.1:50099"
    assert settings.shop_limit is None


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:///var/order.db",
        "sqlite:////srv/my orders/order.db",
        "sqlite:///:memory:",
        "postgresql://oms@db/oms",
        "postgresql+psycopg://oms:x@[::1]:5432/oms?sslmode=require",
    ],
)
def test_a_database_is_named_by_its_url(url: str) -> None:
    assert read("--shop-database-url", url).shop_database_url == url


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:50052",
        "orders:50052",
        "[::1]:50052",
        "dns:///orders:50052",
        "dns://127.0.0.1:53/orders:50052",
        "ipv4:127.0.0.1:50052,127.0.0.1:50062",
        "ipv6:[::1]:50052,[::1]:50062",
        "unix:/run/orders",
    ],
)
def test_a_target_is_one_server_or_several(target: str) -> None:
    assert read("--shop-target", target).shop_target == target


@pytest.mark.parametrize(
    "target",
    [
        "127.0.0.1:1,127.0.0.1:2",
        "ipv4:localhost:1",
        "ipv4:127.0.0.1:1,",
        "orders: 1",
        "127.0.0.1:99999",
        "127.0.0.1:-1",
        "127.0.0.1:0",
        "orders:",
        "dns:///orders:65536",
        "ipv4:127.0.0.1:1,127.0.0.2:65536",
        ":::",
    ],
)
def test_a_target_that_leads_nowhere_is_told_how_it_is_written(
    capsys: pytest.CaptureFixture[str], target: str
) -> None:
    assert '"ipv4:127.0.0.1:50052,127.0.0.1:50062"' in complaint(capsys, ["--shop-target", target])


def test_settings_do_not_change() -> None:
    settings = read()
    with pytest.raises(ValueError, match="frozen"):
        settings.shop_open = False


def test_a_wrong_value_is_named_with_what_is_expected(capsys: pytest.CaptureFixture[str]) -> None:
    assert complaint(capsys, ["--drain-grace-seconds", "soon"]) == (
        "shop: --drain-grace-seconds (OMS_DRAIN_GRACE_SECONDS) should be a valid number, unable to "
        "parse string as a number, not 'soon' (--help lists the settings)\n"
    )


@pytest.mark.parametrize(
    ("argv", "name"),
    [
        (["--drain-grace-seconds=nan"], "--drain-grace-seconds (OMS_DRAIN_GRACE_SECONDS)"),
        (["--drain-grace-seconds=-1"], "--drain-grace-seconds (OMS_DRAIN_GRACE_SECONDS)"),
        (["--message-bytes-max=0"], "--message-bytes-max (OMS_MESSAGE_BYTES_MAX)"),
        (["--log-level=loud"], "--log-level (OMS_LOG_LEVEL) should be 'debug', 'info'"),
        (["--shop-listen=50051"], "--shop-listen (OMS_SHOP_LISTEN) must be host:port, for"),
        (["--shop-listen=a:65536"], "--shop-listen (OMS_SHOP_LISTEN) must be host:port"),
        (["--shop-listen="], "--shop-listen (OMS_SHOP_LISTEN) must be host:port"),
        (["--shop-open=perhaps"], "--shop-open (OMS_SHOP_OPEN) should be a valid boolean"),
        (["--shop-listen"], "argument --shop-listen: expected one argument"),
        (["--shop-list=a:1"], "there is no flag --shop-list "),
        (["--color"], "there is no flag --color "),
        (["serve"], "there is a value that belongs to no flag"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_said_in_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], name: str
) -> None:
    assert name in complaint(capsys, argv)


def test_all_that_is_wrong_is_said_at_once(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_LOG_FORMAT", "xml")
    said = complaint(capsys, ["--shop-open=perhaps"])
    assert "--log-format (OMS_LOG_FORMAT)" in said
    assert "--shop-open (OMS_SHOP_OPEN)" in said


@pytest.mark.parametrize(
    "argv",
    [
        [f"--shop-database-url=mysql://u:{PASSWORD}@h/db"],
        [f"--shop-database-url=postgres:/u:{PASSWORD}@h"],
        [f"--shop-database-uri=postgresql://u:{PASSWORD}@h/db"],
        [f"postgresql://u:{PASSWORD}@h/db"],
        [f"--shop-listen=postgresql://u:{PASSWORD}@h/db"],
    ],
)
def test_no_complaint_repeats_a_password(
    capsys: pytest.CaptureFixture[str], argv: list[str]
) -> None:
    complaint(capsys, argv)


def test_help_lists_every_setting_and_no_password(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        read("--help")
    assert caught.value.code == 0
    said = " ".join(capsys.readouterr().out.split())
    for doc in describe(ShopSettings):
        assert doc.flag in said
        assert f"{doc.description} Environment: {doc.env}." in said
    assert "postgresql://shop:***@db/shop" in said
    assert PASSWORD not in said


def test_settings_describe_themselves_without_passwords() -> None:
    docs = describe(ShopSettings)
    assert docs[0] == SettingDoc(
        flag="--shop-listen",
        env="OMS_SHOP_LISTEN",
        default="127.0.0.1:50099",
        description="Where the shop listens.",
    )
    assert [it.env for it in docs[-5:]] == [
        "OMS_LOG_LEVEL",
        "OMS_LOG_FORMAT",
        "OMS_DRAIN_GRACE_SECONDS",
        "OMS_MESSAGE_BYTES_MAX",
        "OMS_CONNECTION_AGE_SECONDS_MAX",
    ]
    assert all(it.description for it in docs)
    assert PASSWORD not in repr(docs)


def test_settings_that_are_printed_show_no_password() -> None:
    assert PASSWORD not in repr(read())
    assert PASSWORD not in str(read())
    assert "shop:***@db/shop" in repr(read())


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:secret@h:5432/db", "postgresql://u:***@h:5432/db"),
        ("postgresql+psycopg://u:a@b/c:d@h/db", "postgresql+psycopg://u:***@h/db"),
        ("postgresql://:secret@h/db", "postgresql://:***@h/db"),
        (
            "postgresql://h/db?user=u&password=secret&x=1",
            "postgresql://h/db?user=u&password=***&x=1",
        ),
        ("postgresql://h/db?sslpassword=secret", "postgresql://h/db?sslpassword=***"),
        ("could not reach postgresql://u:secret@h now", "could not reach postgresql://u:***@h now"),
        ("sqlite:///var/order.db", "sqlite:///var/order.db"),
        ("127.0.0.1:50051", "127.0.0.1:50051"),
        ("http://h:80/path", "http://h:80/path"),
    ],
)
def test_a_url_is_redacted_but_for_its_password(url: str, expected: str) -> None:
    assert redacted(url) == expected


def test_a_misspelt_variable_is_told_and_nothing_is_held_up_by_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OMS_DRAIN_GRACE_SECOND", "3")
    assert read().drain_grace_seconds == 10
    assert capsys.readouterr() == (
        "",
        "shop: OMS_DRAIN_GRACE_SECOND is not a setting; did you mean OMS_DRAIN_GRACE_SECONDS?\n",
    )


def test_what_is_like_no_setting_of_ours_may_be_anothers() -> None:
    others = ["OMS_TARGET", "OMS_BAKERY_DATABASE_URL", "SHOP_LISTEN", "PATH", "OMS_SHOP_OPEN"]
    assert [] == misspelt(ShopSettings, others)
