import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llm_router.arms import Arm, chosen, unit_of
from llm_router.classification import Complexity
from llm_router.errors import ConfigError, InvalidRequestError
from llm_router.routing import Route, Router
from llm_router.settings import RoutingSettings
from tests.fakes import TODAY

PHI = "ollama/phi3"
SPLIT = (
    Arm(tier=Complexity.SIMPLE, arm="default", weight=70),
    Arm(tier=Complexity.SIMPLE, arm="phi", weight=25, model=PHI),
    Arm(tier=Complexity.SIMPLE, arm="qwen", weight=5, model="ollama/qwen2.5"),
)
NAMES = st.from_regex(r"[a-z0-9][a-z0-9_-]{0,31}", fullmatch=True).filter(
    lambda name: name not in {"default", "forced", "shadow"}
)
ARMS = st.lists(
    st.builds(
        Arm,
        tier=st.sampled_from(Complexity),
        arm=NAMES,
        weight=st.integers(1, 1_000_000),
        model=st.from_regex(r"ollama/[A-Za-z0-9._:/-]{1,20}", fullmatch=True),
    ),
    min_size=1,
    unique_by=lambda arm: (arm.tier, arm.arm),
)


def settings(text: str) -> RoutingSettings:
    """Return the settings with arms as the environment has them."""
    return RoutingSettings.from_env({"ROUTING_ARMS": text})


def test_shares() -> None:
    """Of 10,000 tenants each arm has about its share; the bounds are five standard deviations wide."""
    counted = Counter(chosen(SPLIT, unit_of(f"tenant-{number}")).arm for number in range(10_000))

    assert {"default", "phi", "qwen"} == counted.keys()
    assert abs(counted["default"] - 7_000) < 5 * 46
    assert abs(counted["phi"] - 2_500) < 5 * 44
    assert abs(counted["qwen"] - 500) < 5 * 22


def test_shares_of_conversations() -> None:
    """The conversations of one tenant are shared out as tenants are."""
    counted = Counter(chosen(SPLIT, unit_of("acme", f"c-{number}")).arm for number in range(10_000))

    assert abs(counted["phi"] - 2_500) < 5 * 44


def test_hash_is_stable() -> None:
    """The same units have the same arms in every process, today and tomorrow."""
    units = [unit_of("default"), unit_of("acme"), unit_of("acme", "c-1"), unit_of("acme", "c-2")]

    assert ["default", "default", "default", "phi"] == [chosen(SPLIT, unit).arm for unit in units]


@given(ARMS, st.text(), st.text())
def test_one_arm_for_each(arms: list[Arm], tenant: str, conversation_id: str) -> None:
    """Whoever comes has one of the arms, the same each time, and a conversation is another unit than its tenant."""
    unit = unit_of(tenant, conversation_id)

    assert chosen(arms, unit) in arms
    assert chosen(arms, unit) == chosen(arms, unit_of(tenant, conversation_id))
    assert unit != unit_of(tenant)


@given(ARMS)
def test_parsing_reads_what_was_written(arms: list[Arm]) -> None:
    """Arms that are written as JSON are read as they were."""
    text = json.dumps([{"tier": arm.tier, "arm": arm.arm, "weight": arm.weight, "model": arm.model} for arm in arms])

    assert tuple(arms) == settings(text).routing_arms == Router.from_settings(settings(text), TODAY).arms


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["tier", "arm", "weight", "model"]) | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.text(min_size=1) | JSON.map(json.dumps))
def test_parsing_is_strict(text: str) -> None:
    """Whatever else stands there is a ConfigError that names the setting, or no arms at all."""
    outcome: object
    try:
        outcome = settings(text).routing_arms
    except ConfigError as error:
        outcome = error.problems[0].partition(":")[0]

    assert outcome in {(), "ROUTING_ARMS"}


def arm(**fields: object) -> str:
    """Return a list of one arm, as the environment has it; None leaves a field out."""
    usual: dict[str, object] = {"tier": "simple", "arm": "phi", "weight": 1, "model": PHI}
    return json.dumps([{name: value for name, value in (usual | fields).items() if value is not None}])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("simple=phi", "JSON is malformed"),
        ("{}", "Expected `array`, got `object`"),
        (arm(tier="trivial"), "Invalid enum value 'trivial' - at `$[0].tier`"),
        (arm(weight=0), "Expected `int` >= 1 - at `$[0].weight`"),
        (arm(weight=-3), "Expected `int` >= 1 - at `$[0].weight`"),
        (arm(weight=0.5), "Expected `int`, got `float` - at `$[0].weight`"),
        (arm(weight=None), "Object missing required field `weight` - at `$[0]`"),
        (arm(model="gpt-4"), "Expected `str` matching regex"),
        (arm(arm="Phi 3"), "Expected `str` matching regex"),
        (arm(arm="phi\n"), "Expected `str` matching regex"),
        (arm(share=1), "Object contains unknown field `share` - at `$[0]`"),
        (arm(model=None), "the arm phi needs a model - at `$[0]`"),
        (arm(arm="default"), "the arm default has the model of DEFAULT_SIMPLE_MODEL - at `$[0]`"),
        (arm(arm="shadow"), "an arm cannot be called shadow - at `$[0]`"),
        (arm(arm="forced"), "an arm cannot be called forced - at `$[0]`"),
    ],
)
def test_malformed(text: str, says: str) -> None:
    """An error names the setting, what is wrong, and where."""
    with pytest.raises(ConfigError) as caught:
        settings(text)

    assert caught.value.problems[0].startswith("ROUTING_ARMS: ")
    assert says in caught.value.problems[0]


def test_repeated_arm() -> None:
    """A tier cannot have two arms of one name; two tiers can."""
    both = json.loads(arm()) + json.loads(arm(tier="complex"))
    assert 2 == len(Router.from_settings(settings(json.dumps(both)), TODAY).arms)
    with pytest.raises(ConfigError) as caught:
        Router.from_settings(settings(json.dumps([*both, *json.loads(arm(weight=5))])), TODAY)

    assert ("ROUTING_ARMS: simple has more than one arm phi",) == caught.value.problems


ROUTER = Router(dict.fromkeys(Complexity, "ollama/tinyllama"), fallback="ollama/llama3.2", arms=SPLIT)


def test_route_of_an_arm() -> None:
    """A unit of an arm gets its model, with the same fallbacks as everybody; of the default arm, the tier's own."""
    default, phi = (ROUTER.route(Complexity.SIMPLE, 100, unit=unit) for unit in ("acme", unit_of("acme", "c-2")))

    assert Route(model="ollama/tinyllama", arm="default", fallbacks=("ollama/llama3.2",)) == default
    assert Route(model=PHI, arm="phi", fallbacks=("ollama/llama3.2",)) == phi


def test_tier_without_arms() -> None:
    """The arms of one tier leave the others alone."""
    assert Route(model="ollama/tinyllama", fallbacks=("ollama/llama3.2",)) == ROUTER.route(
        Complexity.COMPLEX, 100, unit="acme"
    )


def test_default_takes_part_where_it_is_listed() -> None:
    """A tier whose arms do not name `default` has no callers left for it."""
    router = Router(dict.fromkeys(Complexity, "ollama/tinyllama"), arms=SPLIT[1:2])

    assert {"phi"} == {router.route(Complexity.SIMPLE, 9, unit=f"t{number}").arm for number in range(100)}


def test_prompt_too_long_for_an_arm() -> None:
    """A prompt that the arm's model cannot hold goes on to the next tier, and to its arm."""
    arms = (
        Arm(tier=Complexity.SIMPLE, arm="tiny", weight=1, model="ollama/tinyllama"),
        Arm(tier=Complexity.MEDIUM, arm="large", weight=1, model="ollama/llama3.2"),
    )
    router = Router(dict.fromkeys(Complexity, PHI), arms=arms)

    assert Route(model="ollama/llama3.2", arm="large") == router.route(Complexity.SIMPLE, 20_000, unit="acme")


def test_models_of_arms_can_be_forced() -> None:
    """A model of an arm is a configured model; who insists on it is in no arm."""
    route = ROUTER.route(Complexity.COMPLEX, 100, "ollama/qwen2.5", unit="acme")
    with pytest.raises(InvalidRequestError) as caught:
        ROUTER.route(Complexity.SIMPLE, 100, "ollama/mixtral", unit="acme")

    assert Route(model="ollama/qwen2.5", arm="forced") == route
    assert "must be one of ollama/llama3.2, ollama/phi3, ollama/qwen2.5, ollama/tinyllama" == str(caught.value)
