// What stands in for libFuzzer where there is none: runs the files it is given, and changed copies of them.
//
// Include it once in a fuzzer. With clang's -fsanitize=fuzzer nothing is here; with CAIRN_FUZZ_MAIN a main().
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

extern "C" int LLVMFuzzerTestOneInput(const unsigned char* bytes, std::size_t size);

#if defined(CAIRN_FUZZ_MAIN)

#include <cstdio>
#include <fstream>
#include <iterator>
#include <random>
#include <vector>

int main(int count, char** words) {
    std::mt19937_64 random(1);
    for (int i = 1; i < count; ++i) {
        std::ifstream in(words[i], std::ios::binary);
        const std::vector<unsigned char> seed{std::istreambuf_iterator<char>(in), {}};
        LLVMFuzzerTestOneInput(seed.data(), seed.size());
        for (int round = 0; round < 2000 && seed.size() > 1; ++round) {
            std::vector<unsigned char> changed = seed;
            for (auto left = random() % 8; left > 0; --left)
                changed[1 + random() % (changed.size() - 1)] = static_cast<unsigned char>(random());
            const bool is_cut = random() % 4 == 0;
            LLVMFuzzerTestOneInput(changed.data(), is_cut ? random() % changed.size() : changed.size());
        }
    }
    std::printf("%d inputs and 2000 changed copies of each\n", count - 1);
    return count > 1 ? 0 : 1;
}

#endif
