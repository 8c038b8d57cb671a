// Binary trees: many short-lived trees of every even depth beside one that lives long, on one thread or more.
//
// With more threads the trees of each depth are dealt out: the work is the same, so times can be compared
// across thread counts too. The checksum counts all nodes.
// SPDX-License-Identifier: MIT
#include <atomic>

#include "policy.hpp"
#include "programs.hpp"

namespace {

struct Node {
    policy::Field<Node> left, right;
    static constexpr auto cairn_pointers = policy::pointers<Node>(&Node::left, &Node::right);
    Node(Node* l, Node* r) : left(l), right(r) {}
};

Node* bottom_up(unsigned depth) {
    if (depth == 0) return policy::make<Node>(nullptr, nullptr);
    Node* left = bottom_up(depth - 1);
    Node* right = bottom_up(depth - 1);
    return policy::make<Node>(left, right);
}

std::uint64_t count(const Node* tree) {
    const Node* left = tree->left;
    if (left == nullptr) return 1;
    return 1 + count(left) + count(tree->right);
}

void release(Node* tree) {
    if constexpr (!policy::collects) {
        Node* left = tree->left;
        if (left != nullptr) {
            release(left);
            release(tree->right);
        }
        policy::release(tree);
    }
}

std::uint64_t count_one(unsigned depth) {
    Node* tree = bottom_up(depth);
    const std::uint64_t nodes = count(tree);
    release(tree);
    return nodes;
}

std::uint64_t share(unsigned depth, unsigned index, unsigned threads) {
    std::uint64_t nodes = 0;
    for (unsigned d = 4; d <= depth; d += 2) {
        const std::uint64_t trees = std::uint64_t{1} << (depth - d + 4);
        for (std::uint64_t i = index; i < trees; i += threads) nodes += count_one(d);
    }
    return nodes;
}

}  // namespace

void bench::trees(const Arguments& sizes, Record& record) {
    const auto depth = static_cast<unsigned>(sizes["depth"]);
    const auto threads = static_cast<unsigned>(sizes["threads"]);
    const std::uint64_t start = now_ns();
    std::atomic<std::uint64_t> nodes = count_one(depth + 1);
    Node* lasting = bottom_up(depth);
    if (threads == 1) {
        nodes += share(depth, 0, 1);
    } else {
        policy::in_threads(threads, [&](unsigned index) { nodes += share(depth, index, threads); });
    }
    nodes += count(lasting);
    release(lasting);
    record.seconds(now_ns() - start);
    record.checksum(nodes);
}
