"""A verb of the command line: one file, listed, helped and run."""

from __future__ import annotations


def test_it_is_listed_under_its_heading_and_helps(extended) -> None:
    listed = extended("-m", "mimverify", "--help").stdout
    section = listed.partition("Ask the theory:")[2].partition("\n\n")[0]
    verbs = [line.split()[0] for line in section.splitlines() if line]
    assert verbs == sorted(verbs)
    assert "list-links   List the named links, which take no parameters.\n" in section + "\n"
    helped = " ".join(extended("-m", "mimverify", "list-links", "--help").stdout.split())
    assert "One in each line, with its formula." in helped
    assert "Exit code: 0 listed; 2 wrong usage or input; 3 there is none of that rank;" in helped


def test_it_runs_with_the_exit_codes_of_all(extended) -> None:
    run = ("-m", "mimverify", "list-links")
    assert "cos2z: cos 2z\n" in extended(*run).stdout
    assert extended(*run, "--rank", "3").stdout.startswith("z1z2z3: ")
    assert extended(*run, "--rank", "99", code=3).stdout == ""
    assert "--rank=0: expected" in extended(*run, "--rank", "0", code=2).stderr
    assert "did you mean 'list-links'?" in extended("-m", "mimverify", "lst-links", code=2).stderr
