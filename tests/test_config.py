"""Settings: flags over environment over file over defaults, and errors that name the place."""

from __future__ import annotations

import stat

import pytest

from guardrail.config import keys, load
from guardrail.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "settings.yaml"
    path.write_text("server:\n  port: 1111\n  drain_s: 5\npolicy:\n  default: mine.yaml\n")
    return path


def test_flags_win_over_environment_over_file_over_defaults(file, tmp_path):
    held = load(
        file,
        {"server.port": "3333", "home": str(tmp_path)},
        {"GUARDRAIL_SERVER_PORT": "2222", "GUARDRAIL_SERVER_DRAIN_S": "7", "GUARDRAIL_LOG_LEVEL": "debug"},
    )
    assert held.settings.server.port == 3333
    assert held.settings.server.drain_s == 7
    assert held.settings.policy.default == "mine.yaml"
    assert held.settings.server.host == "127.0.0.1"
    origin = {name: source for name, _, source in held.shown()}
    assert origin["server.port"] == "flag"
    assert origin["server.drain_s"] == "environment (GUARDRAIL_SERVER_DRAIN_S)"
    assert origin["policy.default"] == f"file {file}"
    assert origin["server.host"] == "default"


def test_lists_and_mappings_come_from_the_environment_as_yaml(tmp_path):
    held = load(None, {"home": str(tmp_path)}, {"GUARDRAIL_SERVER_UPSTREAMS": "{openai: http://127.0.0.1:9/v1}"})
    assert held.settings.server.upstreams["openai"].url == "http://127.0.0.1:9/v1"


def test_an_unknown_setting_is_named_with_the_nearest_known_one(tmp_path):
    with pytest.raises(ConfigError, match=r"flag: no setting named 'server.prot'; did you mean 'server.port'"):
        load(None, {"server.prot": "1", "home": str(tmp_path)}, {})


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("GUARDRAIL_SERVER_ACESS_KEY", "GUARDRAIL_SERVER_ACCESS_KEY"),
        ("GUARDRAIL_ACCESS_KEY", "GUARDRAIL_SERVER_ACCESS_KEY"),
        ("GUARDRAIL_AUDIT_REQUIERD", "GUARDRAIL_AUDIT_REQUIRED"),
    ],
)
def test_a_misspelt_variable_stops_the_start_with_the_nearest_known_one(tmp_path, variable, nearest):
    """Left out in silence it would leave a door open that its operator believes is shut."""
    with pytest.raises(ConfigError, match=rf"environment: no setting is named {variable}; did you mean .*{nearest}"):
        load(None, {"home": str(tmp_path)}, {variable: "hush-hush"})


@pytest.mark.parametrize(
    "variable",
    [
        "GUARDRAIL_SERVICE_HOST",
        "GUARDRAIL_SERVICE_PORT_HTTP",
        "GUARDRAIL_PORT",
        "GUARDRAIL_PORT_8080_TCP_ADDR",
        "GUARDRAIL_DB_SERVICE_PORT",
        "GUARDRAIL_TEST_POSTGRES",
        "GUARDRAILS_X",
    ],
)
def test_variables_that_others_set_for_themselves_are_none_of_ours(tmp_path, variable):
    """Kubernetes puts some into every pod for a service called guardrail."""
    assert load(None, {"home": str(tmp_path)}, {variable: "tcp://10.0.0.1:8080"}).settings.server.port == 8080


def test_the_file_is_the_one_given_or_else_the_one_the_environment_names_or_else_the_one_under_home(file, tmp_path):
    under_home = tmp_path / "home" / "guardrail.yaml"
    under_home.parent.mkdir()
    under_home.write_text("server: {port: 5555}\n")
    named = tmp_path / "named.yaml"
    named.write_text("server: {port: 4444}\n")
    home = {"GUARDRAIL_HOME": str(under_home.parent)}
    for given, environ, port, origin in (
        (file, {**home, "GUARDRAIL_CONFIG": str(named)}, 1111, file),
        (None, {**home, "GUARDRAIL_CONFIG": str(named)}, 4444, named),
        (None, home, 5555, under_home),
    ):
        held = load(given, {}, environ)
        assert (held.settings.server.port, held.file) == (port, origin)
        assert held.origin["server.port"] == f"file {origin}"
    assert load(None, {}, {"GUARDRAIL_HOME": str(tmp_path)}).file is None


def test_a_settings_file_that_is_named_and_not_there_stops_the_start(tmp_path):
    with pytest.raises(ConfigError, match=r"nowhere\.yaml: cannot be read: No such file"):
        load(None, {"home": str(tmp_path)}, {"GUARDRAIL_CONFIG": str(tmp_path / "nowhere.yaml")})


def test_a_wrong_value_names_its_origin_and_not_itself(tmp_path):
    with pytest.raises(ConfigError, match=r"environment \(GUARDRAIL_SERVER_PORT\): server.port: .*integer") as caught:
        load(None, {"home": str(tmp_path)}, {"GUARDRAIL_SERVER_PORT": "s3cret"})
    assert "s3cret" not in str(caught.value)


def test_a_wrong_value_is_not_blamed_on_a_setting_whose_name_it_begins_with(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text("server: {max_connections: 100}\n")
    variable = "GUARDRAIL_SERVER_MAX_CONNECTIONS_PER_ADDRESS"
    with pytest.raises(ConfigError, match=rf"^environment \({variable}\): server\.max_connections_per_address: "):
        load(path, {}, {variable: "-1"})


@pytest.mark.parametrize(("text", "said"), [("server: [", ":1:10: not YAML"), ("- a\n", "a mapping of settings")])
def test_a_broken_file_is_named_with_its_line(tmp_path, text, said):
    path = tmp_path / "broken.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load(path, {}, {})


@pytest.mark.parametrize(
    "text",
    [
        "server:\n  access_key: hush\nlog:\n  level: info\nserver:\n  port: 9090\n",
        "server: {access_key: hush, access_key: ''}\n",
        "server:\n  access_key: hush\nserver.access_key: ''\n",
    ],
)
def test_a_name_that_stands_twice_in_the_file_stops_the_start(tmp_path, text):
    """The second would undo the first in silence, and a door that was locked there would be open."""
    path = tmp_path / "twice.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match="stands twice") as caught:
        load(path, {}, {})
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize("key", ["0123456789", "null", "1e5", "2026-13-45", "a #b", "a: b", "[a", "yes", "  a\n"])
def test_a_credential_is_taken_as_it_stands_whatever_yaml_would_make_of_it(tmp_path, key):
    around = load(None, {"home": str(tmp_path)}, {"GUARDRAIL_SERVER_ACCESS_KEY": key})
    flag = load(None, {"home": str(tmp_path), "server.access_key": key}, {})
    assert around.settings.server.access_key == flag.settings.server.access_key == key.strip()


def test_a_quoted_text_loses_its_quotes(tmp_path):
    held = load(None, {"home": str(tmp_path)}, {"GUARDRAIL_SERVER_ACCESS_KEY": '"0123"'})
    assert held.settings.server.access_key == "0123"


def test_a_date_that_is_none_is_a_wrong_value_and_no_crash(tmp_path):
    path = tmp_path / "dates.yaml"
    path.write_text("server: {port: 2026-13-45}\n")
    with pytest.raises(ConfigError, match="no such value"):
        load(path, {}, {})
    with pytest.raises(ConfigError, match=r"server\.port"):
        load(None, {"home": str(tmp_path), "server.port": "2026-13-45"}, {})


@pytest.mark.parametrize("written", ["07070", "-010", "0_17", "2:30", "1:30.5"])
def test_a_number_that_yaml_reads_as_another_stops_the_start_with_its_line(tmp_path, written):
    """07070 would be port 3640, and 2:30 a hundred and fifty."""
    path = tmp_path / "numbers.yaml"
    path.write_text(f"server:\n  port: {written}\n")
    with pytest.raises(ConfigError, match=rf"numbers\.yaml:2:9: not YAML: '{written}' would be read .* in quotes"):
        load(path, {}, {})


def test_plain_numbers_are_read_as_they_stand(tmp_path):
    path = tmp_path / "numbers.yaml"
    path.write_text("server: {port: 0, drain_s: 0.5, workers: 10}\nlimits: {images: '07'}\n")
    held = load(path, {}, {"GUARDRAIL_FETCH_TIMEOUT_S": "07"}).settings
    assert (held.server.port, held.server.drain_s, held.server.workers, held.limits.images) == (0, 0.5, 10, 7)
    assert held.fetch.timeout_s == 7.0


def test_secrets_are_masked(tmp_path):
    held = load(None, {"home": str(tmp_path), "server.access_key": "hush-hush"}, {})
    assert "hush-hush" not in str(held.shown())


def test_the_key_is_made_once_readable_by_its_owner_only_and_differs_by_purpose(tmp_path):
    held = load(None, {"home": str(tmp_path)}, {})
    assert held.key("audit") == load(None, {"home": str(tmp_path)}, {}).key("audit")
    assert held.key("audit") != held.key("registry")
    assert stat.S_IMODE((tmp_path / "key").stat().st_mode) == 0o600


def test_a_key_from_the_environment_is_used_and_a_short_one_refused(tmp_path):
    given = load(None, {"home": str(tmp_path)}, {"GUARDRAIL_KEY": "ab" * 32})
    assert given.key("audit") != load(None, {"home": str(tmp_path / "other")}, {}).key("audit")
    assert "abab" not in repr(given)
    with pytest.raises(ConfigError, match="32 bytes"):
        load(None, {"home": str(tmp_path)}, {"GUARDRAIL_KEY": "abcd"}).key("audit")


def test_every_setting_says_what_it_is():
    for key in keys():
        assert key.help.endswith("."), key.name


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models.hub", "https://user:hush-hush@hub.example"),
        ("models.hub", "https://hush-hush@hub.example"),
        ("models.hub", "https://user:hush@hush-hush@hub.example"),  # a password may hold the sign that ends it
        ("server.upstreams", '{"openai": "https://user:hush-hush@host/v1"}'),
    ],
)
def test_a_password_in_any_address_is_masked(tmp_path, name, value):
    shown = str(load(None, {"home": str(tmp_path), name: value}, {}).shown())
    assert "hush" not in shown
    assert "//(set)@h" in shown


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("models.hub", "https://hub.example/weights?version=2&token=hush-hush"),
        ("checks.options", '{"vendor": {"region": "eu", "api_key": "hush-hush", "clientSecret": "hush"}}'),
        ("checks.options", '{"vendor": {"headers": {"Authorization": "Bearer hush-hush"}, "region": "eu"}}'),
        ("server.upstreams", '{"own": {"url": "https://host", "options": {"secret": "hush-hush", "region": "eu"}}}'),
    ],
)
def test_what_is_named_as_a_credential_is_masked_and_what_stands_beside_it_is_not(tmp_path, name, value):
    shown = {one: said for one, said, _ in load(None, {"home": str(tmp_path), name: value}, {}).shown()}[name]
    assert "hush" not in shown
    assert "(set)" in shown
    assert "version=2" in shown or "region: eu" in shown


def upstreams(tmp_path, text):
    return load(None, {"home": str(tmp_path)}, {"GUARDRAIL_SERVER_UPSTREAMS": text}).settings.server.upstreams


def test_a_generator_is_an_address_or_all_that_can_be_said_of_it(tmp_path):
    held = upstreams(tmp_path, "{openai: 'https://a/v1', studio: {dialect: openai, url: 'https://b', concurrency: 4}}")
    assert (held["openai"].url, held["openai"].dialect, held["openai"].retries) == ("https://a/v1", "", 2)
    assert (held["studio"].url, held["studio"].dialect, held["studio"].concurrency) == ("https://b", "openai", 4)
    assert upstreams(tmp_path, "{moderation: }")["moderation"].url == ""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{studio: {adress: 'https://a'}}", "server.upstreams.studio.adress"),
        ("{studio: {url: 'https://a', concurrency: 0}}", "server.upstreams.studio.concurrency"),
        ("{studio: {url: 'https://a', timeout_s: -1}}", "server.upstreams.studio.timeout_s"),
        ("{studio: 7}", "server.upstreams.studio"),
        ("{'a/b': 'https://a'}", "server.upstreams"),
    ],
)
def test_what_is_wrong_with_a_generator_is_said_by_name(tmp_path, text, said):
    with pytest.raises(ConfigError, match=said):
        upstreams(tmp_path, text)


def test_generators_are_shown_as_they_were_written(tmp_path):
    text = "{openai: 'https://a/v1', studio: {dialect: openai, url: 'https://user:hush@b'}}"
    held = load(None, {"home": str(tmp_path)}, {"GUARDRAIL_SERVER_UPSTREAMS": text})
    shown = {name: value for name, value, _ in held.shown()}["server.upstreams"]
    assert shown == "{openai: 'https://a/v1', studio: {dialect: openai, url: 'https://(set)@b'}}"
