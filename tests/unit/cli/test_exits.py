from gatewright.cli.exits import Exit, Failure


def test_a_failure_is_a_runtime_failure_unless_said_otherwise() -> None:
    assert Failure("port 8080 is taken").code is Exit.FAILURE
    assert Failure("no such file", code=Exit.USAGE).code == 2


def test_a_failure_carries_its_message_and_hint() -> None:
    failure = Failure("port 8080 is taken", hint="choose another with --listen")
    assert (str(failure), failure.hint) == ("port 8080 is taken", "choose another with --listen")
