"""Merkle trees against the vectors of the reference implementation and against the RFC's own recursive definition."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airflow_provider_iinked.custody.merkle import (
    EMPTY_ROOT,
    Frontier,
    Tree,
    is_consistent,
    is_included,
    leaf_hash,
    node_hash,
    root_of,
)

# Leaves and roots of certificate-transparency's reference tests (merkle_tree_test).
LEAVES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
HASHES = [leaf_hash(bytes.fromhex(leaf)) for leaf in LEAVES]
numbers = st.integers(min_value=1, max_value=200)


def hashes(size: int) -> list[bytes]:
    return [leaf_hash(str(number).encode()) for number in range(size)]


def recursive_root(leaves: list[bytes]) -> bytes:
    """RFC 6962, 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    return node_hash(recursive_root(leaves[:half]), recursive_root(leaves[half:]))


def recursive_path(index: int, leaves: list[bytes]) -> list[bytes]:
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if index < half:
        return [*recursive_path(index, leaves[:half]), recursive_root(leaves[half:])]
    return [*recursive_path(index - half, leaves[half:]), recursive_root(leaves[:half])]


def recursive_consistency(old: int, leaves: list[bytes], whole: bool = True) -> list[bytes]:
    """RFC 6962, 2.1.2."""
    if old == len(leaves):
        return [] if whole else [recursive_root(leaves)]
    half = 1 << (len(leaves) - 1).bit_length() - 1
    if old <= half:
        return [*recursive_consistency(old, leaves[:half], whole), recursive_root(leaves[half:])]
    return [*recursive_consistency(old - half, leaves[half:], False), recursive_root(leaves[:half])]


@pytest.mark.parametrize("size", range(1, 9))
def test_roots_are_those_of_the_reference(size):
    assert root_of(HASHES[:size]).hex() == Tree(HASHES[:size]).root.hex() == ROOTS[size - 1]


def test_an_empty_tree_has_the_hash_of_nothing_as_its_root():
    assert root_of([]) == Tree([]).root == EMPTY_ROOT == hashlib.sha256(b"").digest()


def test_an_inclusion_proof_is_that_of_the_reference():
    assert [item.hex() for item in Tree(HASHES).inclusion_proof(0)] == [
        "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
        "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
        "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
    ]


@given(numbers)
def test_the_root_is_that_of_the_recursive_definition(size):
    assert root_of(hashes(size)) == Tree(hashes(size)).root == recursive_root(hashes(size))


@given(numbers, st.data())
def test_an_inclusion_proof_is_that_of_the_recursive_definition_and_holds(size, data):
    index = data.draw(st.integers(0, size - 1))
    leaves = hashes(size)
    proof = Tree(leaves).inclusion_proof(index)
    assert proof == recursive_path(index, leaves)
    assert is_included(leaves[index], index, size, proof, recursive_root(leaves))


@given(numbers, st.data())
def test_a_consistency_proof_is_that_of_the_recursive_definition_and_holds(size, data):
    old = data.draw(st.integers(1, size))
    leaves = hashes(size)
    proof = Tree(leaves).consistency_proof(old)
    assert proof == recursive_consistency(old, leaves)
    assert is_consistent(old, recursive_root(leaves[:old]), size, recursive_root(leaves), proof)


@given(numbers, st.data())
def test_an_inclusion_proof_of_another_leaf_index_or_changed_proof_does_not_hold(size, data):
    index, leaves = data.draw(st.integers(0, size - 1)), hashes(size)
    tree = Tree(leaves)
    proof = tree.inclusion_proof(index)
    assert not is_included(leaf_hash(b"other"), index, size, proof, tree.root)
    other = data.draw(st.integers(0, size * 2).filter(lambda number: number != index))
    assert not is_included(leaves[index], other, size, proof, tree.root)
    assert not is_included(leaves[index], index, size, [*proof, leaves[0]], tree.root)
    if proof:
        assert not is_included(leaves[index], index, size, proof[:-1], tree.root)


@given(numbers, st.data())
def test_a_tree_in_which_an_old_leaf_was_changed_is_not_consistent(size, data):
    old = data.draw(st.integers(1, size))
    changed = data.draw(st.integers(0, old - 1))
    leaves = hashes(size)
    older = root_of(leaves[:old])
    leaves[changed] = leaf_hash(b"changed")
    tree = Tree(leaves)
    assert not is_consistent(old, older, size, tree.root, tree.consistency_proof(old))


@given(st.integers(0, 200), st.integers(0, 50))
def test_a_frontier_that_was_stored_goes_on_where_it_stopped(size, more):
    first = Frontier()
    for leaf in hashes(size + more)[:size]:
        first.append(leaf)
    second = Frontier(first.size, first.hashes)
    for leaf in hashes(size + more)[size:]:
        second.append(leaf)
    assert second.root == root_of(hashes(size + more))
    assert len(second.hashes) == (size + more).bit_count()


def test_a_frontier_of_another_size_is_refused():
    with pytest.raises(ValueError, match="complete subtrees"):
        Frontier(3, [leaf_hash(b"")])


def test_there_is_no_proof_of_what_is_not_there():
    with pytest.raises(IndexError, match="no leaf 8"):
        Tree(HASHES).inclusion_proof(8)
    with pytest.raises(IndexError, match="no beginning"):
        Tree(HASHES).consistency_proof(9)
