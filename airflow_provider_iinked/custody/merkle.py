"""
Merkle trees as RFC 6962 hashes them: roots, inclusion proofs and consistency proofs. Pure.

Level by level, a node without a neighbour goes up as it is; that gives the tree that the RFC defines by halving.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Final

EMPTY_ROOT: Final = hashlib.sha256(b"").digest()
"""Root of a tree without leaves."""


def leaf_hash(data: bytes) -> bytes:
    """
    Hash a leaf.

    :param data: the leaf's bytes.
    :return: SHA-256 of 0x00 and the bytes.
    """
    return hashlib.sha256(b"\x00" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """
    Hash an inner node.

    :param left: hash of its left child.
    :param right: hash of its right child.
    :return: SHA-256 of 0x01 and both.
    """
    return hashlib.sha256(b"\x01" + left + right).digest()


class Frontier:
    """
    A growing tree of which only the roots of its complete subtrees are kept: at most one hash for each bit of its size.

    :param size: number of leaves so far.
    :param hashes: roots of the complete subtrees, the largest first, one for each bit that is set in ``size``.
    """

    def __init__(self, size: int = 0, hashes: Iterable[bytes] = ()) -> None:
        self.size = size
        self._hashes = list(hashes)
        if size < 0 or len(self._hashes) != size.bit_count():
            raise ValueError(f"A tree of {size} leaves has another number of complete subtrees.")

    @property
    def hashes(self) -> tuple[bytes, ...]:
        """Roots of the complete subtrees, the largest first."""
        return tuple(self._hashes)

    def append(self, leaf: bytes) -> None:
        """
        Add a leaf.

        :param leaf: the leaf's hash.
        """
        size = self.size
        while size & 1:  # a complete subtree of this height is there already: the two become one
            leaf = node_hash(self._hashes.pop(), leaf)
            size >>= 1
        self._hashes.append(leaf)
        self.size += 1

    @property
    def root(self) -> bytes:
        """Root of the tree."""
        if not self._hashes:
            return EMPTY_ROOT
        root = self._hashes[-1]
        for subtree in reversed(self._hashes[:-1]):
            root = node_hash(subtree, root)
        return root


def root_of(leaves: Iterable[bytes]) -> bytes:
    """
    Return the root of a tree.

    :param leaves: the leaves' hashes.
    :return: the root.
    """
    frontier = Frontier()
    for leaf in leaves:
        frontier.append(leaf)
    return frontier.root


class Tree:
    """
    A whole tree in memory, for proofs: 64 bytes a leaf.

    :param leaves: the leaves' hashes.
    """

    def __init__(self, leaves: Iterable[bytes]) -> None:
        level = list(leaves)
        self.size = len(level)
        self._levels = [level]
        while len(level) > 1:
            above = [node_hash(level[at], level[at + 1]) for at in range(0, len(level) - 1, 2)]
            level = above + level[len(above) * 2 :]
            self._levels.append(level)

    @property
    def root(self) -> bytes:
        """Root of the tree."""
        return self._levels[-1][0] if self.size else EMPTY_ROOT

    def inclusion_proof(self, index: int) -> list[bytes]:
        """
        Build the proof that a leaf is part of the tree.

        :param index: the leaf's index, from 0.
        :return: the hashes beside its path to the root, lowest first.
        :raises IndexError: when there is no such leaf.
        """
        if not 0 <= index < self.size:
            raise IndexError(f"There is no leaf {index} in a tree of {self.size}.")
        proof = []
        for level in self._levels[:-1]:
            if (beside := index ^ 1) < len(level):
                proof.append(level[beside])
            index >>= 1
        return proof

    def consistency_proof(self, old_size: int) -> list[bytes]:
        """
        Build the proof that the tree's first leaves are those of an older tree.

        :param old_size: number of leaves of the older tree, from 1.
        :return: the hashes, in the order of RFC 6962; empty when nothing was added.
        :raises IndexError: when the older tree is empty or larger than this one.
        """
        if not 0 < old_size <= self.size:
            raise IndexError(f"A tree of {old_size} leaves is no beginning of one of {self.size}.")
        if old_size == self.size:
            return []
        index, height = old_size - 1, 0
        while index & 1:
            index, height = index >> 1, height + 1
        proof = [self._levels[height][index]] if index else []
        for level in self._levels[height:-1]:
            if (beside := index ^ 1) < len(level):
                proof.append(level[beside])
            index >>= 1
        return proof


def is_included(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """
    Verify an inclusion proof (RFC 9162, 2.1.3.2).

    :param leaf: the leaf's hash.
    :param index: its index.
    :param size: number of leaves of the tree.
    :param proof: the proof.
    :param root: the tree's root.
    :return: True when it holds.
    """
    if not 0 <= index < size:
        return False
    node, last = index, size - 1
    for beside in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            leaf = node_hash(beside, leaf)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            leaf = node_hash(leaf, beside)
        node, last = node >> 1, last >> 1
    return last == 0 and leaf == root


def is_consistent(old_size: int, old_root: bytes, size: int, root: bytes, proof: Sequence[bytes]) -> bool:
    """
    Verify a consistency proof (RFC 9162, 2.1.4.2).

    :param old_size: number of leaves of the older tree.
    :param old_root: its root.
    :param size: number of leaves of the newer tree.
    :param root: its root.
    :param proof: the proof.
    :return: True when the newer tree begins with the leaves of the older one.
    """
    if not 0 < old_size <= size:
        return False
    if old_size == size:
        return not proof and old_root == root
    path = [old_root, *proof] if old_size & (old_size - 1) == 0 else list(proof)
    if not path:
        return False
    node, last = old_size - 1, size - 1
    while node & 1:
        node, last = node >> 1, last >> 1
    first = second = path[0]
    for beside in path[1:]:
        if last == 0:
            return False
        if node & 1 or node == last:
            first, second = node_hash(beside, first), node_hash(beside, second)
            while not node & 1 and node:
                node, last = node >> 1, last >> 1
        else:
            second = node_hash(second, beside)
        node, last = node >> 1, last >> 1
    return last == 0 and first == old_root and second == root
