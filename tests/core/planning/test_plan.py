from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.program.tables import COMMANDS, CONDITIONS

from clew.core.planning.plan import AFTER, Need, Plan, make_plan, stage_reads
from clew.core.program.model import (
    Command,
    Condition,
    CustomTime,
    Dependency,
    Element,
    InputDependency,
    Output,
    Program,
    Rollback,
    Stage,
)
from clew.core.program.needs import ordered_dependencies
from clew.core.program.problems import ProgramError


def stage(name: str, text: object = "", **more: object) -> Stage:
    """A stage that notes a text and makes `<name>_out`."""
    more.setdefault("outputs", (Output(f"{name}_out"),))
    return Stage(name, (Command("note", {"text": text}),), **more)


def plan(*stages: Stage, **more: object) -> Plan:
    return make_plan(Program("p", stages, **more), COMMANDS, CONDITIONS)


def names(planned: Plan) -> list[list[str]]:
    return [[one.name for one in block.stages] for block in planned.blocks]


def problems(*stages: Stage, **more: object) -> list[str]:
    with pytest.raises(ProgramError) as caught:
        plan(*stages, **more)
    return [str(problem) for problem in caught.value.problems]


def test_stages_go_to_the_earliest_block_they_can() -> None:
    """Stages go to the earliest block they can, in the program's order within a block."""
    planned = plan(
        stage("d", "{b_out}{c_out}"),
        stage("a"),
        stage("c", "{a_out}"),
        stage("b", "{a_out}"),
        stage("e", "{a_out}"),
    )
    assert names(planned) == [["a"], ["c", "b", "e"], ["d"]]
    assert [block.index for block in planned.blocks] == [1, 2, 3]
    assert planned.blocks[2].stages[0].needs == (Need("c", "c_out"), Need("b", "b_out"))
    assert planned.block_of("e") == 2
    with pytest.raises(KeyError):
        planned.block_of("z")


def test_whatever_part_of_a_stage_refers_to_a_name_needs_it() -> None:
    """Inputs, when, dependencies, environment, commands, conditions and rollbacks: all make needs."""
    planned = plan(
        stage("a"),
        stage("inputs", inputs=("a_out",)),
        stage("when", when="a_out > 1"),
        stage("bucket", dependencies=(Dependency("f1", "{a_out}", (Element("x"),)),)),
        stage("match", dependencies=(Dependency("f2", "b", (Element(r"\d{2}{a_out}", "regex"),)),)),
        stage("environment", environment={"X": "{a_out}"}),
        stage("execute", ["{a_out.x}"]),
        stage("validate", validate=(Condition("holds", {"expression": "a_out == 1"}),)),
        stage("rollback", rollback=Rollback("commands", (Command("note", {"text": "{a_out}"}),))),
        stage("restore", rollback=Rollback("commands", restore=("b/{a_out}",))),
        stage("for_each", for_each="{a_out.files}"),
        stage("one_each", for_each=["x", {"y": "{a_out}"}]),
        stage("after", after=("a",)),
    )
    assert [len(block.stages) for block in planned.blocks] == [1, 12]
    assert all(one.needed_stages == ("a",) for one in planned.blocks[1].stages)
    assert planned.blocks[1].stages[-1].needs == (Need("a", AFTER),)


def test_a_need_for_order_and_one_for_data_are_told_apart() -> None:
    """A stage may need another for two names and for order: three needs, one needed stage."""
    planned = plan(stage("a", outputs=(Output("x"), Output("y"))), stage("b", "{y}{x}{y}", after=("a", "a")))
    (b,) = planned.blocks[1].stages
    assert b.needs == (Need("a", "y"), Need("a", "x"), Need("a", AFTER))
    assert b.needed_stages == ("a",)


def test_what_the_program_and_clew_give_needs_no_stage() -> None:
    """Variables, custom times and clew's own names make no needs."""
    planned = plan(
        stage("a", "{region}{day}{cutoff}{run_name}{attempt}"),
        variables={"region": "east"},
        requests={"day": {}, "region": {}},
        custom_times=(CustomTime("cutoff", "now", 0),),
    )
    assert planned.blocks[0].stages[0].needs == ()


def test_a_stage_reads_its_own_dependencies_and_later_its_outputs() -> None:
    """A dependency can be read from other dependencies on, an output in validate and rollback only."""
    first = Dependency("first", "b", (Element("{second.name}"),))
    second = Dependency("second", "b", (Element("x"),))
    one = stage(
        "a",
        "{first}",
        inputs=("first",),
        dependencies=(first, second),
        environment={"F": "{first}"},
        validate=(Condition("holds", {"expression": "a_out == first && region == ''"}),),
        rollback=Rollback(
            "commands", (Command("note", {"text": "{a_out}{second}{outcome}{attempts}{run_id}"}),)
        ),
    )
    planned = plan(one, variables={"region": ""})
    assert planned.blocks[0].stages[0].needs == ()
    assert ordered_dependencies(one) == (second, first)
    reads = stage_reads(one, COMMANDS, CONDITIONS)
    assert reads.forward == frozenset()
    assert reads.validate == {"region"}
    assert reads.rollback == {"run_id"}
    assert reads.names == {"region", "run_id"}


def test_what_a_named_command_reads_depends_on_what_it_may_be() -> None:
    """A command whose name is a variable is read by the signature of what it stands for."""
    one = Stage("a", (Command("{which}", {"function": "{", "with": "{x}"}),))
    program = Program("p", (one,), variables={"which": "python", "x": 1})
    assert make_plan(program, COMMANDS, CONDITIONS).blocks
    assert stage_reads(one, COMMANDS, CONDITIONS, program=program).forward == {"which", "x"}


@pytest.mark.parametrize(
    ("one", "says"),
    [
        (stage("a", "{zzz}"), "stages[0].execute[0].params.text: nothing produces 'zzz'; declare it"),
        (stage("a", "{regio}"), "nothing produces 'regio'; did you mean 'region'?"),
        (stage("a", "{outcome}"), "'outcome' is told to rollbacks only"),
        (
            stage("a", "{a_out}"),
            "'a_out' is an output of the stage 'a' itself; a stage can read its outputs in",
        ),
        (stage("a", inputs=("a_out",)), "stages[0].inputs[0]: 'a_out' is an output"),
        (stage("a", "{"), "stages[0].execute[0].params.text: the brace"),
        (stage("a", when="a_out >"), "stages[0].when: 'a_out >' is no expression"),
        (stage("a", after=("a",)), "stages[0].after[0]: the stage 'a' can't come after itself"),
        (stage("aa", after=("ab",)), "stages[0].after[0]: there is no stage 'ab'"),
        (
            stage("a", when="f == ''", dependencies=(Dependency("f", "b", (Element("x"),)),)),
            "stages[0].when: 'f' is a dependency of the stage 'a' itself; when is tested before",
        ),
        (
            stage(
                "a",
                dependencies=(
                    Dependency("f", "b", (Element("{g.name}"),)),
                    Dependency("g", "{f.bucket}", (Element("x"),)),
                ),
            ),
            "stages[0].dependencies.f: the dependencies 'f', 'g' of the stage 'a' wait for each other",
        ),
        (
            stage(
                "a",
                dependencies=(Dependency("f", "{", (Element("x"),)), Dependency("g", "{f}", (Element("x"),))),
            ),
            "stages[0].dependencies.f.bucket: the brace",
        ),
        (
            stage("a", outputs=(Output("region"),)),
            "'region' has two producers: it is a variable of the program and",
        ),
        (
            stage("a", rollback=Rollback("commands", restore=("b/{a_out}",))),
            "stages[0].rollback.restore[0]: 'a_out' is an output of the stage 'a' itself; the places of restore",
        ),
        (
            stage("a", rollback=Rollback("commands", restore=("b/{outcome}",))),
            "'outcome' is not told to the places of restore; they are kept once, before the first attempt",
        ),
        (
            stage("a", rollback=Rollback("commands", restore=("b/{attempt}",))),
            "'attempt' is not told to the places of restore",
        ),
        (
            stage("a", rollback=Rollback("commands", restore=("b/{item}",))),
            "'item' is told to the items of a stage with for_each only; say in the stage's for_each what",
        ),
        (stage("a", "{index}"), "stages[0].execute[0].params.text: 'index' is told to the items of a stage"),
        (stage("a", inputs=("item",)), "stages[0].inputs[0]: 'item' is told to the items of a stage with"),
        (
            stage("a", for_each=[1], when="index > 1"),
            "stages[0].when: 'index' is not told to when, which is read before there are items; it can be",
        ),
        (stage("a", for_each="{item}"), "stages[0].for_each: 'item' is not told to for_each, which is read"),
        (
            stage("a", for_each=[1], dependencies=(Dependency("f", "{item}", (Element("x"),)),)),
            "stages[0].dependencies.f.bucket: 'item' is not told to dependencies, which is read",
        ),
        (stage("a", for_each="{a_out}"), "stages[0].for_each: 'a_out' is an output of the stage 'a' itself"),
        (stage("a", for_each="region"), "stages[0].for_each: 'region' is no list; write {region}, or a list"),
        (
            stage("a", for_each=[1], outputs=(Output("item"),)),
            "stages[0].outputs.item: 'item' is a name that clew gives the items of the stage 'a'; rename it",
        ),
        (
            stage("a", when="f == ''", dependencies=(InputDependency("f"),)),
            "stages[0].when: 'f' is an input of the stage 'a' itself; when is tested before",
        ),
        (
            stage("a", rollback=Rollback(to="b")),
            "stages[0].rollback.to: there is no stage 'b'",
        ),
        (
            stage("load", rollback=Rollback("none", to="laod")),
            "stages[0].rollback.to: there is no stage 'laod'; did you mean 'load'?",
        ),
        (
            stage("a", outputs=(Output("run_id"),)),
            "stages[0].outputs.run_id: 'run_id' is a name that clew gives",
        ),
        (stage("a", outputs=(Output("outcome"),)), "'outcome' is a name that clew gives itself"),
        (
            Stage("a", (Command("{region} x"),)),
            "stages[0].execute[0].command: '{region} x' is no command's name",
        ),
        (Stage("a", (Command("{run_id}"),)), "{run_id} may not name a command; put it into"),
        (Stage("a", (Command("{free}"),)), "{free} may not name a command"),
        (Stage("a", (Command("{region.x}"),)), "is no command's name"),
        (Stage("a", (Command("{{region}}"),)), "is no command's name"),
        (Stage("a", (Command("{"),)), "the brace"),
    ],
)
def test_a_mistake_in_names_is_one_problem_that_says_where(one: Stage, says: str) -> None:
    """A mistake in names or order is one problem with its path, the names as written, and a remedy."""
    found = problems(one, variables={"region": "note"}, requests={"free": {"type": "string"}})
    assert len({problem.partition(": ")[0] for problem in found}) == 1
    assert any(says in problem for problem in found), found


def test_items_have_names_of_their_own() -> None:
    """`item` and `index` are told to all that an item does, and are nothing that the stage reads from others."""
    one = stage(
        "a",
        "{item.key}",
        for_each="{files}",
        inputs=("item", "region"),
        dependencies=(Dependency("files", "b", (Element("x", multiple="all"),)),),
        environment={"N": "{index}"},
        validate=(Condition("holds", {"expression": "item == region && index > 0"}),),
        rollback=Rollback(
            "commands",
            (Command("note", {"text": "{item}{outcome}"}),),
            restore=("b/{item.key}{run_id}{files}",),
        ),
    )
    assert plan(one, variables={"region": ""}).blocks[0].stages[0].needs == ()
    reads = stage_reads(one, COMMANDS, CONDITIONS)
    assert reads.forward == {"region", "run_id"}
    assert reads.validate == {"region"}
    assert reads.rollback == frozenset()


def test_without_items_their_names_are_free() -> None:
    """Where no stage has items, `item` and `index` are names like any other."""
    planned = plan(stage("a", outputs=(Output("item"),)), stage("b", "{item}{index}"), variables={"index": 1})
    assert planned.blocks[1].stages[0].needs == (Need("a", "item"),)
    assert stage_reads(stage("b", "{item}"), COMMANDS, CONDITIONS).forward == {"item"}


def test_a_name_of_items_that_is_taken_is_told_once() -> None:
    """A producer of `item` beside a stage with items is one problem, and those who read it are none."""
    (said,) = problems(
        stage("a", "{item}", for_each=[1]), stage("b", "{item}", when="item == 1"), requests={"item": {}}
    )
    assert said == ("requests.item: 'item' is a name that clew gives the items of the stage 'a'; rename it")


def test_an_input_has_a_name_like_a_file() -> None:
    """What somebody supplies is read by the stage's other dependencies, by itself, and by later stages."""
    file = Dependency("file", "b", (Element("{approval.path}"),))
    one = stage("a", "{approval}", dependencies=(file, InputDependency("approval", {"type": "object"})))
    planned = plan(one, stage("b", "{approval}"))
    assert planned.blocks[1].stages[0].needs == (Need("a", "approval"),)
    assert stage_reads(one, COMMANDS, CONDITIONS).names == frozenset()
    assert [each.name for each in ordered_dependencies(one)] == ["approval", "file"]
    assert (one.file_dependencies, one.input_dependencies) == (one.dependencies[:1], one.dependencies[1:])


def back(target: str) -> Rollback:
    return Rollback("none", to=target)


def test_a_run_goes_back_to_a_stage_that_comes_no_later() -> None:
    """A stage may name itself, one of its own block or an earlier one; one that comes later is a problem."""
    a, b, c = stage("a"), stage("b", "{a_out}", rollback=back("a")), stage("c", "{a_out}", rollback=back("b"))
    assert plan(a, b, c, stage("d", rollback=back("d"))).blocks
    (said,) = problems(stage("a", rollback=back("b")), b)
    assert said == (
        "stages[0].rollback.to: 'b' is in block 2, after block 1 of 'a'; "
        "name a stage of the same block or an earlier one, or the stage itself"
    )
    (in_sequence,) = problems(stage("x", rollback=back("y")), stage("y"), maintain_sequence=True)
    assert "'y' is in block 2, after block 1 of 'x'" in in_sequence


def test_a_circle_has_no_block_to_go_back_to() -> None:
    """Of stages in a circle no problem is told that only follows from the circle."""
    (said,) = problems(
        stage("a", "{b_out}", rollback=back("c")), stage("b", "{a_out}"), stage("c", rollback=back("a"))
    )
    assert "wait for each other" in said


def test_two_producers_of_a_name_are_both_named() -> None:
    """Two producers of a name are an error that names both stages."""
    (said,) = problems(stage("a", outputs=(Output("x"),)), stage("b", outputs=(Output("x"),)))
    assert said == (
        "stages[1].outputs.x: 'x' has two producers: it is an output of the stage 'a' and "
        "an output of the stage 'b'; rename one of them"
    )


def test_a_circle_names_its_stages_and_labels() -> None:
    """Stages in a circle are told with who needs what of whom, each circle once."""
    found = problems(
        stage("a", "{c_out}"),
        stage("b", "{a_out}"),
        stage("c", "{b_out}"),
        stage("d", after=("e",)),
        stage("e", "{d_out}"),
        stage("f", "{a_out}"),
        stage("g"),
    )
    assert found == [
        "stages[0]: stages wait for each other: 'a' needs 'c_out' of 'c', 'c' needs 'b_out' of 'b', "
        "'b' needs 'a_out' of 'a'; one of these needs must go",
        "stages[3]: stages wait for each other: 'd' needs the end of 'e', 'e' needs 'd_out' of 'd'; "
        "one of these needs must go",
    ]


def test_maintain_sequence_keeps_the_listed_order() -> None:
    """With maintain_sequence each stage has a block of its own, in the listed order."""
    planned = plan(stage("b"), stage("a", "{b_out}"), stage("c"), maintain_sequence=True)
    assert names(planned) == [["b"], ["a"], ["c"]]
    found = problems(stage("a", "{b_out}", after=("b",)), stage("b"), stage("c"), maintain_sequence=True)
    assert found == [
        "stages[0]: 'a' needs 'b_out' of 'b', which is listed after it; "
        "list 'b' before 'a', or leave out maintain_sequence"
    ]


def test_the_program_s_conditions_belong_to_the_first_block_that_has_all() -> None:
    """A condition of the program belongs to the first block that has all outputs it reads."""
    conditions = (
        Condition("holds", {"expression": "region == ''"}),
        Condition("holds", {"expression": "b_out > a_out && file.size > 0"}),
        Condition("matches", {"value": "{a_out}", "pattern": "{run_name}"}),
    )
    planned = plan(
        stage("a"),
        stage("b", "{a_out}", dependencies=(Dependency("file", "x", (Element("y"),)),)),
        stage("c", "{b_out}"),
        variables={"region": ""},
        validate=conditions,
    )
    assert [block.conditions for block in planned.blocks] == [(0, 2), (1,), ()]


@pytest.mark.parametrize(
    ("expression", "says"),
    [
        ("attempt > 1", "'attempt' is a stage's, and this condition belongs to several"),
        ("zzz", "nothing produces 'zzz'"),
        ("outcome", "'outcome' is told to rollbacks only"),
        ("(", "is no expression"),
    ],
)
def test_the_program_s_conditions_read_what_there_is(expression: str, says: str) -> None:
    """A condition of the program that reads what is no name there is a problem at its path."""
    (said,) = problems(stage("a"), validate=(Condition("holds", {"expression": expression}),))
    assert said.startswith("validate[0].params.expression: ")
    assert says in said


def test_suggestions_end_before_they_take_minutes() -> None:
    """With very many unknown names among very many known ones, the later problems have no suggestion."""
    many = tuple(stage(f"s{at}", f"{{t{at}_out}}") for at in range(600))
    found = problems(*many)
    assert len(found) == 600
    assert "did you mean 's0_out'?" in found[0]
    assert "did you mean" not in found[-1]


@st.composite
def programs(draw: st.DrawFn) -> Program:
    """Programs without circles: each stage may read and follow those before it, in a shuffled order."""
    count = draw(st.integers(1, 9))
    order = draw(st.permutations(range(count)))
    stages: dict[int, Stage] = {}
    for rank, at in enumerate(order):
        earlier = order[:rank]
        read = draw(st.sets(st.sampled_from(earlier), max_size=3)) if earlier else set()
        after = draw(st.sets(st.sampled_from(earlier), max_size=2)) if earlier else set()
        text = "".join(f"{{s{other}_out}}" for other in sorted(read))
        stages[at] = stage(f"s{at}", text, after=tuple(f"s{other}" for other in sorted(after)))
    return Program("p", tuple(stages[at] for at in range(count)))


def blocks_by_brute_force(program: Program) -> list[list[str]]:
    """Again and again, all stages of which every needed one is already placed."""
    needed = {
        one.name: {name.removesuffix("_out") for name in stage_reads(one, COMMANDS, CONDITIONS).names}
        | set(one.after)
        for one in program.stages
    }
    placed: list[list[str]] = []
    done: set[str] = set()
    while len(done) < len(program.stages):
        block = [name for name in needed if name not in done and needed[name] <= done]
        placed.append(block)
        done.update(block)
    return placed


@given(programs())
def test_the_order_is_the_one_that_brute_force_finds(program: Program) -> None:
    """The blocks are those that brute force finds."""
    assert names(make_plan(program, COMMANDS, CONDITIONS)) == blocks_by_brute_force(program)


@given(programs())
def test_each_stage_needs_the_block_before_and_none_of_its_own(program: Program) -> None:
    """No stage needs one of its own block or a later one, and each needs one of the block before."""
    planned = make_plan(program, COMMANDS, CONDITIONS)
    for block in planned.blocks:
        for one in block.stages:
            needed = {planned.block_of(other) for other in one.needed_stages}
            assert all(index < block.index for index in needed)
            assert block.index == 1 or block.index - 1 in needed


@given(st.lists(st.lists(st.integers(0, 6), max_size=2), min_size=1, max_size=7))
def test_a_program_has_a_plan_or_a_circle(needs: list[list[int]]) -> None:
    """Stages with any needs have a plan with all of them, or a problem."""
    count = len(needs)
    stages = [
        stage(f"s{at}", "".join(f"{{s{other}_out}}" for other in others if other < count and other != at))
        for at, others in enumerate(needs)
    ]
    try:
        planned = plan(*stages)
    except ProgramError as error:
        assert all("wait for each other" in problem.what for problem in error.problems)
    else:
        assert sum(len(block.stages) for block in planned.blocks) == count
