// A translation unit heavy in templates, to measure the compiler's own heap on. It is compiled, never run.
// Each DEPTH makes one more set of types, so the work grows with it.
// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <iostream>
#include <list>
#include <map>
#include <memory>
#include <regex>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>

template <int n>
struct Item {
    std::string name;
    std::array<int, n + 1> numbers{};
    bool operator<(const Item& other) const {
        return std::tie(name, numbers) < std::tie(other.name, other.numbers);
    }
};

template <int n>
std::size_t work(const std::vector<std::string>& words) {
    std::map<std::string, std::vector<Item<n>>> index;
    std::unordered_map<std::string, std::shared_ptr<Item<n>>> quick;
    std::set<Item<n>> sorted;
    std::deque<std::variant<int, std::string, Item<n>>> queue;
    for (const auto& word : words) {
        Item<n> item{word, {}};
        index[word].push_back(item);
        quick.emplace(word, std::make_shared<Item<n>>(item));
        sorted.insert(item);
        queue.emplace_back(item);
    }
    std::function<std::size_t(std::size_t)> sum = [&](std::size_t x) {
        return x + index.size() + quick.size();
    };
    for (auto& [key, list] : index) std::sort(list.begin(), list.end());
    for (auto& v : queue) {
        std::visit(
            [&](auto& x) {
                if constexpr (requires { x.name; }) sorted.erase(x);
            },
            v);
    }
    return sum(sorted.size());
}

template <int... n>
std::size_t all(const std::vector<std::string>& words, std::integer_sequence<int, n...>) {
    return (work<n>(words) + ...);
}

int main(int argc, char** argv) {
    const std::vector<std::string> words(argv, argv + argc);
    std::cout << all(words, std::make_integer_sequence<int, DEPTH>{}) << '\n';
}
