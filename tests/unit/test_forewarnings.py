"""What `check` says of a job that is valid and probably not meant so."""

from __future__ import annotations

from pathlib import Path

import pytest

from crawlfleet.__main__ import main
from crawlfleet.coordinator.job.forewarnings import forewarnings, still_closed, to_open
from crawlfleet.coordinator.job.job import load


def written(folder: Path, text: str) -> Path:
    path = folder / "job.yaml"
    path.write_text(f"name: job\n{text}")
    return path


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "seeds: [http://a.test/b, http://a.test/c]\nscope: {include: [/b*]}\n",
            ["http://a.test/c is not fetched: scope.include"],
        ),
        (
            "seeds: [http://a.test/b]\nscope: {exclude: [/b*]}\n",
            ["http://a.test/b is not fetched: scope.exclude matches it"],
        ),
        ("seeds: [http://a.test/x?s=1]\nurls: {drop_query: [s]}\nscope: {exclude: ['*s=*']}\n", []),
        ("seeds: ['http://a.test/{1..9}']\nscope: {include: [/b]}\n", ["/1 is", "/2 is", "/3 is", "and 6 seeds more"]),
        ("seeds: [http://a.test/b]\nscope: {hosts: [a.test]}\n", []),
        ("seeds: [{sitemap: http://a.test/map.xml}]\nscope: {include: [/b]}\n", []),
    ],
    ids=["include", "exclude", "as it is asked for", "many", "hosts alone", "a sitemap"],
)
def test_seeds_that_the_scope_of_the_job_refuses_are_named(tmp_path: Path, text: str, said: list[str]) -> None:
    found = forewarnings(load(written(tmp_path, text)))
    assert len(found) == len(said)
    for sentence, part in zip(found, said, strict=True):
        assert part in sentence


@pytest.mark.parametrize(
    ("user_agent", "name", "rules"),
    [
        ("360spider/1.0", "'360spider'", "anyone (*)"),
        ("bot2/1.0 (+http://a.test/)", "'bot2'", "'bot'"),
        ("Mozilla/5.0 (compatible; Foo.Bot/2; x)", "'Foo.Bot'", "'foo'"),
        ("My_Bot-x/2", "", ""),
        ("mybot (me@a.test)", "", ""),
        ("Mozilla/5.0 (compatible; FooBot/2.1; +http://foo.bar)", "", ""),
        ("Mozilla/5.0 (X11; Linux x86_64)", "", ""),
    ],
)
def test_a_name_that_no_robots_txt_can_say_is_told(tmp_path: Path, user_agent: str, name: str, rules: str) -> None:
    text = f"seeds: [http://a.test/b]\npoliteness: {{user_agent: '{user_agent}'}}\n"
    found = forewarnings(load(written(tmp_path, text)))
    assert len(found) == bool(name)
    said = f"no robots.txt can name {name}, as politeness.user_agent says, so the rules for {rules} are obeyed: "
    assert "".join(found).startswith(said if name else "")


def test_check_tells_them_and_the_job_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = written(tmp_path, "seeds: [http://a.test/c]\nscope: {include: [/b*]}\n")
    assert main(["check", str(path)]) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert "is fine" in first
    assert second == f"{path}: warning: the seed http://a.test/c is not fetched: scope.include does not match it"


SEEDS = "seeds: [http://10.0.0.1/, {sitemap: 'http://[::1]/map.xml'}, http://169.254.169.254/, http://a.test/]\n"
SCOPE = "scope: {hosts: [10.0.0.1, '[::1]', 169.254.169.254, a.test, 10.0.0.2, '[fd00::1]', 8.8.8.8]}\n"
CLOSED = ("169.254.169.254", "10.0.0.2", "[fd00::1]")


def test_private_hosts_that_the_scope_lists_and_no_seed_has_are_named_with_the_line_that_opens_them(
    tmp_path: Path,
) -> None:
    (said,) = forewarnings(load(written(tmp_path, SEEDS + SCOPE)))
    line = 'fetch: {allow_private: [169.254.169.254, 10.0.0.2, "[fd00::1]"]}'
    assert said == (
        "169.254.169.254, 10.0.0.2 and [fd00::1] are not asked: not public. "
        f"If the crawl is to go there, add to the job: {line}"
    )
    assert forewarnings(load(written(tmp_path, f"{SEEDS}{SCOPE}{line}\n"))) == ()


def test_hosts_that_were_not_asked_are_named_until_the_job_opens_them(tmp_path: Path) -> None:
    met = ("10.0.0.2", "10.0.0.1", "b.test")
    assert still_closed(load(written(tmp_path, SEEDS + SCOPE)), met) == ("10.0.0.1", "b.test")
    opened = "fetch: {allow_private: [10.0.0.0/8, b.test, c.test]}\n"
    assert still_closed(load(written(tmp_path, SEEDS + opened)), met) == ()
    job = load(written(tmp_path, SEEDS + SCOPE))
    assert to_open(job, ()) == ()
    (said,) = to_open(job, ("b.test",))
    assert said.startswith("b.test is not asked: not public. ")
    (said,) = to_open(job, ("10.0.0.1", "169.254.169.254"))
    assert said.startswith(
        "169.254.169.254 is not asked, and 10.0.0.1 is asked at the ports of seeds alone: not public. "
    )
    assert said.endswith("[10.0.0.1, 169.254.169.254]}")
