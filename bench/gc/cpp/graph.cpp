// A graph whose edges change at every step: what a pointer store costs, alone and amid cache misses.
//
// `write_ns`: a store into one of 1024 objects, all in the cache. `step_ns`: follow one of four edges, turn
// one to another object, put a new label in place of the old one.
// SPDX-License-Identifier: MIT
#include "policy.hpp"
#include "programs.hpp"

namespace {

struct Label {
    std::uint64_t words[4];
    static constexpr auto cairn_pointers = policy::pointers<Label>();
    explicit Label(std::uint64_t value) : words{value, 0, 0, 0} {}
};

struct Node {
    policy::Field<Node> edges[4];
    policy::Field<Label> label;
    std::uint64_t key;
    static constexpr auto cairn_pointers = policy::pointers<Node>(&Node::edges, &Node::label);
    explicit Node(std::uint64_t k) : edges{}, label(policy::make<Label>(k)), key(k) {}
};

using Table = policy::Field<Node>*;

Table build(std::uint32_t count, bench::Random& random) {
    Table table = policy::make_array<policy::Field<Node>>(count);
    for (std::uint32_t i = 0; i < count; ++i) table[i] = policy::make<Node>(i);
    for (std::uint32_t i = 0; i < count; ++i) {
        Node* node = table[i];
        for (auto& edge : node->edges) {
            Node* other = table[random.below(count)];
            edge = other;
        }
    }
    return table;
}

void write(Table table, std::uint64_t writes) {
    constexpr std::uint32_t hot = 1024;
    for (std::uint64_t i = 0; i < writes; ++i) {
        Node* node = table[i % hot];
        Node* other = table[(i * 7 + (i >> 10)) % hot];
        node->edges[(i >> 10) % 4] = other;
    }
}

std::uint64_t walk(Table table, std::uint32_t count, std::uint64_t steps, bench::Random& random) {
    std::uint64_t sum = 0;
    Node* at = table[0];
    for (std::uint64_t i = 0; i < steps; ++i) {
        const std::uint32_t dice = random.next();
        Node* next = at->edges[dice % 4];
        Node* other = table[random.below(count)];
        Label* old = next->label;
        next->edges[(dice >> 2) % 4] = other;
        sum = sum * 31 + old->words[0] + next->key;
        next->label = policy::make<Label>(sum);
        policy::release(old);
        at = next;
    }
    return sum;
}

}  // namespace

void bench::graph(const Arguments& sizes, Record& record) {
    const auto count = static_cast<std::uint32_t>(sizes["objects"]);
    const std::uint64_t writes = sizes["writes"], steps = sizes["steps"];
    Random random(1);
    const std::uint64_t start = now_ns();
    Table table = build(count, random);
    const std::uint64_t built = now_ns();
    write(table, writes);
    const std::uint64_t written = now_ns();
    const std::uint64_t sum = walk(table, count, steps, random);
    const std::uint64_t end = now_ns();
    record.seconds(end - start);
    record.checksum(sum);
    record.add("write_ns", static_cast<double>(written - built) / static_cast<double>(writes));
    record.add("step_ns", static_cast<double>(end - written) / static_cast<double>(steps));
}
