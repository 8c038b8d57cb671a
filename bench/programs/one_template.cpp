// A small translation unit: what the compiler compiles in its smoke run. It is compiled, never run.
// SPDX-License-Identifier: MIT
#include <vector>

template <int n>
int sum(const std::vector<int>& numbers) {
    int total = n;
    for (int x : numbers) total += x;
    return total;
}

int main(int argc, char**) {
    return sum<DEPTH>(std::vector<int>(static_cast<unsigned>(argc), 1));
}
