// State space: visits every state that a small model can reach, however long its runs are.
//
// A model is a state in a few bits and the steps that lead on from it. Where explore.hpp runs the product's
// own code for a few operations, with weak memory, this runs a description of it for ever: programs are not
// given, each thread may do anything at any time. Found errors come with the shortest run that leads there.
//
// States are 64-bit words that are never 0. Memory is sequentially consistent: what a model says of stores
// that become visible late it has to say with a step of its own.
// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "litmus/explore.hpp"

namespace cairn::litmus {

class StateSpace {
public:
    struct Outcome {
        std::string failure;              // empty: no state is wrong
        std::vector<std::uint64_t> path;  // from the first state to the wrong one
        std::size_t states = 0;
        std::size_t steps = 0;
    };

    // `model.visit(state, reach)` calls reach(next) for every step from `state`, and returns nullptr or what
    // is wrong with it. At most `most_states` are visited: more are a failure, as the search was not
    // exhaustive.
    template <class Model>
    static Outcome search(const char* name, Model& model, std::uint64_t first, std::size_t most_states) {
        StateSpace space;
        space.add(first, 0);
        Outcome outcome;
        for (std::size_t at = 0; outcome.failure.empty(); ++at) {
            if (at == space.order_.size()) space.add_all();
            if (at == space.order_.size()) break;
            const std::uint64_t state = space.order_[at];
            const char* failure = model.visit(state, [&](std::uint64_t next) {
                ++outcome.steps;
                space.add_later(next, static_cast<std::uint32_t>(at));
            });
            if (failure != nullptr) {
                outcome.failure = failure;
                outcome.path = space.path_to(at);
            } else if (space.order_.size() > most_states) {
                outcome.failure = "too many states";
            }
        }
        outcome.states = space.order_.size();
        std::printf("%-56s %9zu states %10zu steps%s%s\n", name, outcome.states, outcome.steps,
                    outcome.failure.empty() ? "" : ": ", outcome.failure.c_str());
        std::fflush(stdout);
        return outcome;
    }

private:
    struct Found {
        std::uint64_t state;
        std::uint32_t parent;
    };
    static constexpr std::size_t ahead = 32;

    StateSpace() : table_(std::size_t{1} << 16) {}

    // The table is far larger than the caches: what is looked up was asked for some steps before.
    void add_later(std::uint64_t state, std::uint32_t parent) {
        __builtin_prefetch(&table_[mix(state, 1) & (table_.size() - 1)], 1);
        if (last_ - first_ == ahead) add_next();
        later_[last_++ % ahead] = {state, parent};
    }
    void add_next() {
        const Found& found = later_[first_++ % ahead];
        add(found.state, found.parent);
    }
    void add_all() {
        while (first_ != last_) add_next();
    }

    void add(std::uint64_t state, std::uint32_t parent) {
        std::uint64_t* place = find(table_, state);
        if (*place == state) return;
        *place = state;
        order_.push_back(state);
        parents_.push_back(parent);
        if (order_.size() * 2 > table_.size()) grow();
    }

    static std::uint64_t* find(std::vector<std::uint64_t>& table, std::uint64_t state) {
        for (std::size_t at = mix(state, 1);; ++at) {
            std::uint64_t& entry = table[at & (table.size() - 1)];
            if (entry == 0 || entry == state) return &entry;
        }
    }

    void grow() {
        std::vector<std::uint64_t> larger(table_.size() * 4);
        for (std::uint64_t state : table_)
            if (state != 0) *find(larger, state) = state;
        table_.swap(larger);
    }

    [[nodiscard]] std::vector<std::uint64_t> path_to(std::size_t at) const {
        std::vector<std::uint64_t> path{order_[at]};
        for (; at != 0; at = parents_[at]) path.push_back(order_[parents_[at]]);
        std::reverse(path.begin(), path.end());
        return path;
    }

    Found later_[ahead];
    std::size_t first_ = 0, last_ = 0;
    std::vector<std::uint64_t> table_;    // open addressing; 0: free
    std::vector<std::uint64_t> order_;    // as found: nearest first
    std::vector<std::uint32_t> parents_;  // from which state each was found first
};

}  // namespace cairn::litmus
