from gatewright.config.problems import ConfigError, InvalidConfig


def test_an_error_says_where_it_is() -> None:
    assert str(ConfigError("models.a", "is wrong", "f.yaml", 3)) == "f.yaml:3: models.a: is wrong"
    assert str(ConfigError("models.a", "is wrong", "f.yaml")) == "f.yaml: models.a: is wrong"
    assert str(ConfigError("models.a", "is wrong")) == "models.a: is wrong"
    assert str(ConfigError("", "is wrong", "f.yaml", 3)) == "f.yaml:3: is wrong"


def test_a_refusal_holds_every_reason() -> None:
    errors = [ConfigError("a", "one"), ConfigError("b", "two")]
    refusal = InvalidConfig(errors)
    assert refusal.errors == tuple(errors)
    assert str(refusal) == "a: one\nb: two"
