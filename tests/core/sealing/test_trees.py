"""The digest of a tree is that of its names, its bytes and which files can be executed, and of nothing else."""

from __future__ import annotations

from hashlib import sha256
from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from clew.core.sealing.trees import EXECUTABLE, FILE, LINK, TreeFile, tree_digest

TREES = st.lists(
    st.builds(
        TreeFile,
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=4),
        st.sampled_from([FILE, EXECUTABLE, LINK]),
        st.binary(max_size=1).map(lambda content: sha256(content).hexdigest()),
    ),
    max_size=3,
    unique_by=lambda one: one.path,
)


def test_the_digest_is_the_one_that_is_documented() -> None:
    """SHA-256 of a tag and a line for each file, in the order of their paths' bytes."""
    digest = sha256(b"x").hexdigest()
    files = [
        TreeFile("b/c.py", EXECUTABLE, digest),
        TreeFile("é", LINK, digest),
        TreeFile("b.py", FILE, digest),
    ]
    told = f"- {digest} 4 b.py\nx {digest} 6 b/c.py\nl {digest} 2 é\n"
    assert tree_digest(files) == sha256(b"clew/source/v1\n" + told.encode()).hexdigest()


def test_small_differences_tell() -> None:
    """A name, a byte, a mode, a line break within a name: each gives another digest."""
    one, other = sha256(b"1").hexdigest(), sha256(b"2").hexdigest()
    trees = [
        [],
        [TreeFile("a", FILE, one)],
        [TreeFile("b", FILE, one)],
        [TreeFile("a", FILE, other)],
        [TreeFile("a", EXECUTABLE, one)],
        [TreeFile("a", LINK, one)],
        [TreeFile("a", FILE, one), TreeFile("b", FILE, one)],
        [TreeFile(f"a\n- {one} 1 b", FILE, one)],
    ]
    assert all(tree_digest(left) != tree_digest(right) for left, right in combinations(trees, 2))


@given(TREES, TREES)
def test_trees_are_equal_when_their_digests_are(left: list[TreeFile], right: list[TreeFile]) -> None:
    """In whatever order they are told."""
    same = {one.path: one for one in left} == {one.path: one for one in right}
    assert (tree_digest(left) == tree_digest(reversed(right))) is same
