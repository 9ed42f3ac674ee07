"""Header fields of a job: which are secrets, where their values are read, and that nothing else has the values."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import msgspec
import pytest

from crawlfleet.coordinator.job.change import difference
from crawlfleet.coordinator.job.forewarnings import forewarnings
from crawlfleet.coordinator.job.headers import Secret, is_secret_name
from crawlfleet.coordinator.job.job import Job, as_data, brief, load, load_from
from crawlfleet.coordinator.job.saved import save_job
from crawlfleet.coordinator.job.sinks import headers_of
from crawlfleet.coordinator.job.source import JobSource
from crawlfleet.shared.errors import JobError

HEAD = "name: a\nseeds: [https://a.example/]\n"


def job(folder: Path, text: str, head: str = HEAD) -> Job:
    path = folder / "job.yaml"
    path.write_text(head + text)
    return load(path)


def sent(found: Job) -> dict[str, dict[str, str]]:
    """Return the secrets that pages are asked with, by their first origin."""
    return {site.origins[0]: dict(site.headers) for site in brief(found).fetch.sites}


@pytest.mark.parametrize(
    "name",
    [
        *("Authorization", "Proxy-Authorization", "Cookie", "X-Api-Key", "apikey", "X-Auth", "Token", "X-Csrf-Token"),
        *("Client-Secret", "client_secret", "X-Session", "X-Password", "x-amz-security-token", "X.Key"),
    ],
)
def test_a_name_says_that_a_value_is_a_secret(name: str) -> None:
    assert is_secret_name(name)


@pytest.mark.parametrize("name", ["Accept", "Accept-Language", "Referer", "X-Keyboard", "Author", "Cookies-Accepted"])
def test_a_name_says_nothing_of_secrets(name: str) -> None:
    assert not is_secret_name(name)


def test_what_is_harmless_goes_to_all_hosts_and_a_secret_to_those_of_listed_seeds(tmp_path: Path) -> None:
    (tmp_path / "own.txt").write_text("of a file\n")
    found = job(tmp_path, "fetch: {headers: {Accept-Language: en, Cookie: a=b, X-Own: file:own.txt}}\n")
    assert brief(found).fetch.headers == (("Accept-Language", "en"),)
    assert sent(found) == {"https://a.example": {"Cookie": "a=b", "X-Own": "of a file"}}
    assert [line[:60] for line in forewarnings(found)] == [
        "fetch.headers.Cookie is taken for a secret, and sent to the ",
        "fetch.headers.X-Own is taken for a secret, and sent to the j",
    ]
    assert "alone (https://a.example): for other hosts write it below sites" in forewarnings(found)[0]


def test_lines_of_a_seeds_file_get_no_secret(tmp_path: Path) -> None:
    (tmp_path / "urls.txt").write_text("https://b.example/\n")
    found = job(tmp_path, "fetch: {headers: {Cookie: a=b}}\n", "name: a\nseeds: [{file: urls.txt}]\n")
    assert sent(found) == {}
    assert "sent to the job's own seeds alone (nobody)" in forewarnings(found)[0]


def test_values_are_read_from_the_environment_and_from_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("A_TOKEN", "\tBearer 123 \n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/key").write_text("\n k=v \r\n")
    text = "sites: {a.example: {headers: {Authorization: env:A_TOKEN, X-Plain: file:sub/key}}}\n"
    sink = "sinks: [{to: 'https://e.example/', headers: {X-Any: env:A_TOKEN}}]\n"
    found = job(tmp_path, text + sink)
    assert sent(found) == {"https://a.example": {"Authorization": "Bearer 123", "X-Plain": "k=v"}}
    assert headers_of(found.sinks) == {"https://e.example/": (("X-Any", "Bearer 123"),)}
    assert forewarnings(found) == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("env:NOT_THERE", "3:34: sites.a.example.headers.X: the environment has no NOT_THERE: set it where"),
        ("'env:'", "env: is followed by the name of an environment variable"),
        ("env:hun-ter2", "env: is followed by the name of an environment variable"),
        ("env:EMPTY", "env:EMPTY holds no header value: one line of printable ASCII"),
        ("env:LINES", "env:LINES holds no header value"),
        ("file:none", "3:34: sites.a.example.headers.X: there is no file"),
        ("'file:'", "cannot be read (Is a directory)"),
        ("file:bad", "file:bad holds no header value"),
        ("hünter2", "is no header value"),
        ("777222", "wants text: put the value in quotes"),
        ("[hunter2]", "wants text: put the value in quotes"),
        ("", "is empty: give it a value"),
    ],
)
def test_a_value_that_cannot_be_sent_is_told_by_its_place_alone(
    value: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EMPTY", " ")
    monkeypatch.setenv("LINES", "hunter2\nhunter2")
    (tmp_path / "bad").write_text("hunter2 \N{EURO SIGN}")
    with pytest.raises(JobError) as refused:
        job(tmp_path, f"sites: {{a.example: {{headers: {{X: {value}}}}}}}\n")
    (line,) = refused.value.problems
    assert said in line
    assert line.startswith(f"{tmp_path / 'job.yaml'}:3:")
    assert not [part for part in ("unter2", "ter2", "777222") if part in line.replace("env:hun-ter2", "")]


@pytest.mark.parametrize(
    "at",
    [
        "fetch: {headers: %s}",
        "sites: %s",
        "sites: {a.example: %s}",
        "sinks: [{to: 'https://e.org/', headers: %s}]",
    ],
)
def test_a_text_in_the_place_of_header_fields_is_not_repeated(at: str, tmp_path: Path) -> None:
    with pytest.raises(JobError) as refused:
        job(tmp_path, at % "'Cookie: hunter2'" + "\n")
    assert "wants a mapping" in str(refused.value)
    assert "hunter2" not in str(refused.value)


TEXT = (
    "fetch: {headers: {Cookie: hunter2, X-Own: env:HUNTER}}\n"
    "sites: {a.example: {headers: {X-Plain: hunter2, X-Key: env:HUNTER}}}\n"
    "sinks: [{to: 'https://e.example/', headers: {X-Token: hunter2, X-Any: env:HUNTER}}]\n"
)


def test_what_is_shown_and_kept_of_a_job_has_no_secret(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUNTER", "hunter2")
    found = job(tmp_path, TEXT)
    kept = msgspec.json.encode(as_data(found)).decode()
    for text in (repr(found), kept, repr(brief(found)), str(dict(found.fetch.headers)), str(forewarnings(found))):
        assert "hunter2" not in text
    assert kept.count('"env:HUNTER"') == 3
    assert kept.count("(a secret, checksum ") == 3
    with pytest.raises(TypeError, match="Secret"):
        msgspec.json.encode(found.fetch.headers)


def test_a_changed_secret_is_noticed_and_neither_is_shown(tmp_path: Path) -> None:
    old, new = (as_data(job(tmp_path, TEXT.replace("env:HUNTER", each))) for each in ("hunter2", "hunter3"))
    said = list(difference(old, new))
    assert {line.partition(":")[0] for line in said} == {
        f"{sign} {key}" for sign in "+-" for key in ("fetch.headers", "sites.a.example.headers", "sinks")
    }
    assert "hunter" not in "".join(said)
    assert list(difference(old, old)) == []


def test_a_checksum_is_too_short_to_find_the_secret_by() -> None:
    assert len({Secret.of(str(number)) for number in range(200_000)}) <= 65_536


def written(folder: Path, text: str = "") -> Path:
    path = folder / "job.yaml"
    path.write_text(HEAD + text)
    return path


def test_a_saved_job_leads_to_the_same_files_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).write_text(name)
    text = (
        "fetch: {headers: {X-Own: file:one, Cookie: hunter2}}\n"
        "sites: {a.example: {headers: {X: file:two}}}\n"
        "sinks: [{to: 'https://e.example/', headers: {X: file:three, Y: env:HOME}}, items.jsonl]\n"
    )
    source = JobSource(path=written(tmp_path, text))
    (tmp_path / "sub").mkdir()
    os.umask(os.umask(0o022))
    save_job(source, tmp_path / "sub/saved.yaml")
    saved, first = load(tmp_path / "sub/saved.yaml"), load_from(source)
    assert (sent(saved), headers_of(saved.sinks)) == (sent(first), headers_of(first.sinks))
    assert stat.S_IMODE((tmp_path / "sub/saved.yaml").stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("seed", "site", "origins"),
    [
        ("http://a.example/", "a.example", ["http://a.example"]),
        ("https://a.example/", "a.example", []),
        ("https://a.example/", "'http://*.b.example:81'", ["http://*.b.example:81"]),
        ("http://93.184.215.14:81/", "93.184.215.14", ["http://93.184.215.14:81"]),
        ("http://127.0.0.1:8000/", "127.0.0.1", []),
        ("http://192.168.0.1/", "192.168.0.1", []),
        ("http://a.localhost/", "localhost", []),
        ("http://a.localhost/", "'*.localhost'", []),
    ],
)
def test_secrets_that_are_sent_as_plain_text_are_told(seed: str, site: str, origins: list[str], tmp_path: Path) -> None:
    text = f"sites: {{{site}: {{headers: {{Cookie: hunter2}}}}}}\n"
    found = forewarnings(job(tmp_path, text, f"name: a\nseeds: ['{seed}']\n"))
    how = "as plain text, which others on the way can read: use https there"
    assert list(found) == [f"secrets are sent to {each} {how}" for each in origins]
