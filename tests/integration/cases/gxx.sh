#!/usr/bin/env bash
# g++ compiles a program full of templates; assembly and object file must be equal, and the program must run.
# needs: g++ sha256sum
# files: *.s *.o
# SPDX-License-Identifier: MIT
set -eu
level=-O2; [ "${QUICK:-}" ] && level="-O1 -DQUICK"
cat > program.cpp <<'CPP'
#include <algorithm>
#include <cstdio>
#include <map>
#include <numeric>
#ifndef QUICK
#include <regex>
#endif
#include <string>
#include <unordered_map>
#include <vector>
int main() {
    std::map<std::string, std::vector<int>> table;
    for (int i = 0; i < 1000; ++i) table["key" + std::to_string(i % 37)].push_back(i * i % 101);
#ifndef QUICK
    std::regex pattern("key([0-9])+$");
    const auto is_taken = [&](const std::string& key) { return std::regex_match(key, pattern); };
#else
    const auto is_taken = [](const std::string& key) { return key.starts_with("key"); };
#endif
    std::unordered_map<std::string, long> sums;
    for (auto& [key, values] : table) {
        std::sort(values.begin(), values.end());
        if (is_taken(key)) sums[key] = std::accumulate(values.begin(), values.end(), 0L);
    }
    long total = 0;
    for (auto& [key, sum] : sums) total += sum;
    std::printf("%zu %ld\n", sums.size(), total);
}
CPP
g++ -std=c++20 $level -S program.cpp
g++ -std=c++20 $level -c program.s
g++ program.o -o program
./program
sha256sum program.s program.o
