"""Which upstream is asked, under which name, and what comes after it."""

import pytest

from metier.labs.upstream import Behaviour, FakeUpstream, Fault


@pytest.fixture
def two(run, settings, opened, ask):
    """Ask once with two fakes behind; gives back the outcome, the calls of both, and the states."""

    def two(first=None, second=None, *, model="m", aliases=None, refuse=False, first_settings=None, more=None, **asked):
        async def body():
            async with FakeUpstream(first) as one, FakeUpstream(second) as other:
                upstreams = opened(
                    {"one": settings(one.url, **(first_settings or {})), "other": settings(other.url, **(more or {}))},
                    aliases,
                    environment={"ONE_KEY": "sk-one"},
                )
                if refuse:
                    await one.refuse()
                outcome = await ask(upstreams, model, **asked)
                await upstreams.close()
                return outcome, list(one.calls), list(other.calls)

        return run(body())

    return two


def test_the_first_that_serves_the_model_is_asked(two):
    outcome, one, other = two()
    assert (outcome.upstream, outcome.model, len(one), len(other)) == ("one", "m", 1, 0)


def test_globs_choose(two):
    outcome, one, _ = two(model="mistral-small", first_settings={"models": ("gpt-*",)}, more={"models": ("mistral-*",)})
    assert (outcome.upstream, len(one)) == ("other", 0)


@pytest.mark.parametrize("is_stream", [False, True])
@pytest.mark.parametrize("fault", [Fault.ERROR, Fault.RATE_LIMIT, Fault.RESET, Fault.NOT_HTTP, Fault.WRONG_TYPE])
def test_the_next_is_asked_where_the_first_fails(two, fault, is_stream):
    outcome, one, other = two(Behaviour(fault=fault), is_stream=is_stream)
    assert (outcome.status, outcome.upstream, outcome.attempts) == (200, "other", 3)
    assert (len(one), len(other)) == (2, 1)


def test_the_next_is_asked_where_the_first_is_unreachable(two):
    outcome, _, other = two(refuse=True)
    assert (outcome.status, outcome.upstream, len(other)) == (200, "other", 1)


def test_the_next_is_asked_where_the_first_refuses_the_gateway_s_key(two):
    outcome, one, _ = two(Behaviour(fault=Fault.UNAUTHORIZED), first_settings={"api_key_env": "ONE_KEY"})
    assert (outcome.status, outcome.upstream, len(one)) == (200, "other", 1)
    assert one[0].header("authorization") == "Bearer sk-one"


def test_a_bad_request_goes_no_further(two):
    outcome, one, other = two(Behaviour(fault=Fault.BAD_REQUEST))
    assert (outcome.status, len(one), len(other)) == (400, 1, 0)


def test_the_last_own_answer_is_passed_on_where_nothing_helps(two):
    outcome, _, _ = two(Behaviour(fault=Fault.RATE_LIMIT), Behaviour(fault=Fault.RESET))
    assert (outcome.status, outcome.upstream, outcome.attempts) == (429, "one", 4)
    assert b"rate_limit_exceeded" in outcome.body


def test_an_alias_has_its_targets_in_order_each_with_its_name(two):
    aliases = {"support": ("other/large", "one/org/small")}
    outcome, one, other = two(None, Behaviour(fault=Fault.ERROR), model="support", aliases=aliases)
    assert (outcome.upstream, outcome.model) == ("one", "org/small")
    assert [call.request["model"] for call in other] == ["large", "large"]
    assert [call.request["model"] for call in one] == ["org/small"]
    assert other[0].body.replace(b"large", b"support") == one[0].body.replace(b"org/small", b"support")


def test_an_alias_comes_before_a_model_of_that_name(two):
    outcome, _, other = two(model="m", aliases={"m": ("other/n",)})
    assert (outcome.upstream, other[0].request["model"]) == ("other", "n")


def test_an_unknown_model_is_openai_s_404(two):
    outcome, one, other = two(model="gpt-9", first_settings={"models": ("a",)}, more={"models": ("b",)})
    assert (outcome.status, outcome.code) == (404, "model_not_found")
    assert "`gpt-9`" in outcome.error.message
    assert not one
    assert not other


def test_a_missing_key_names_its_variable(two):
    settings = {"api_key_env": "NO_SUCH_KEY"}
    outcome, one, other = two(first_settings=settings, more=settings)
    assert (outcome.status, outcome.code) == (500, "upstream_key_missing")
    assert "NO_SUCH_KEY" in outcome.error.message
    assert not one
    assert not other
    fallen_back, one, _ = two(first_settings=settings)
    assert (fallen_back.upstream, one) == ("other", [])


def test_other_endpoints_and_methods(run, settings, opened):
    import time

    async def body():
        async with FakeUpstream() as fake:
            upstreams = opened({"fake": settings(fake.url)})
            later = time.monotonic() + 10
            models = await upstreams.send(
                "/models", b"", None, headers=(), is_stream=False, deadline=later, method="GET"
            )
            listed = await models.read()
            vectors = await upstreams.send(
                "/embeddings", b'{"model":"e","input":"x"}', "e", headers=(), is_stream=False, deadline=later
            )
            embedded = await vectors.read()
            await upstreams.close()
            return listed, embedded, [(call.method, call.path) for call in fake.calls]

    listed, embedded, calls = run(body())
    assert b"fake-model" in listed
    assert b"embedding" in embedded
    assert calls == [("GET", "/v1/models"), ("POST", "/v1/embeddings")]
