// A mix in the manner of Ellis, Kovac and Boehm's GCBench: trees built from the top (pointers stored into
// older objects) and from the bottom (into new ones), beside a tree and an array of numbers that live long.
// SPDX-License-Identifier: MIT
#include "policy.hpp"
#include "programs.hpp"

namespace {

struct Node {
    policy::Field<Node> left, right;
    std::int32_t depth, order;
    static constexpr auto cairn_pointers = policy::pointers<Node>(&Node::left, &Node::right);
    Node(Node* l, Node* r, unsigned d, unsigned o)
        : left(l), right(r), depth(static_cast<std::int32_t>(d)), order(static_cast<std::int32_t>(o)) {}
};

void grow(Node* node, unsigned depth) {
    if (depth == 0) return;
    node->left = policy::make<Node>(nullptr, nullptr, depth, 1);
    node->right = policy::make<Node>(nullptr, nullptr, depth, 2);
    grow(node->left, depth - 1);
    grow(node->right, depth - 1);
}

Node* from_top(unsigned depth) {
    Node* root = policy::make<Node>(nullptr, nullptr, depth, 3);
    grow(root, depth);
    return root;
}

Node* from_bottom(unsigned depth) {
    if (depth == 0) return policy::make<Node>(nullptr, nullptr, 0, 4);
    Node* left = from_bottom(depth - 1);
    Node* right = from_bottom(depth - 1);
    return policy::make<Node>(left, right, depth, 5);
}

void release(Node* tree) {
    if constexpr (!policy::collects) {
        Node* left = tree->left;
        Node* right = tree->right;
        if (left != nullptr) release(left);
        if (right != nullptr) release(right);
        policy::release(tree);
    }
}

// A path from the root to a leaf, so that the trees are looked at, but not for long.
std::uint64_t path(const Node* tree) {
    std::uint64_t sum = 0;
    bool left = true;
    for (const Node* at = tree; at != nullptr; left = !left) {
        sum = sum * 3 + static_cast<std::uint64_t>(at->depth * 8 + at->order);
        const Node* next = left ? at->left : at->right;
        at = next;
    }
    return sum;
}

std::uint64_t nodes_of(unsigned depth) {
    return (std::uint64_t{2} << depth) - 1;
}

std::uint64_t use(Node* tree) {
    const std::uint64_t sum = path(tree);
    release(tree);
    return sum;
}

}  // namespace

void bench::mix(const Arguments& sizes, Record& record) {
    const auto depth = static_cast<unsigned>(sizes["depth"]);
    const std::uint64_t numbers = sizes["numbers"], share = sizes["share"];
    const std::uint64_t start = now_ns();
    std::uint64_t sum = use(from_bottom(depth));
    Node* lasting = from_top(depth - 2);
    double* array = policy::make_array<double>(numbers);
    for (std::uint64_t i = 1; i <= numbers / 2; ++i) array[i] = 1.0 / static_cast<double>(i);
    for (unsigned d = 4; d <= depth - 2; d += 2) {
        const std::uint64_t trees = share * nodes_of(depth) / nodes_of(d);
        for (std::uint64_t i = 0; i < trees; ++i) sum += use(from_top(d));
        for (std::uint64_t i = 0; i < trees; ++i) sum += use(from_bottom(d));
    }
    sum += use(lasting) + static_cast<std::uint64_t>(array[1000] * 1e6);
    policy::release_array(array);
    record.seconds(now_ns() - start);
    record.checksum(sum);
}
