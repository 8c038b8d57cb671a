// Runs one program of the set on the memory manager this executable was built for.
// SPDX-License-Identifier: MIT
#include "policy.hpp"
#include "programs.hpp"

namespace {

struct Program {
    const char* name;
    void (*run)(const bench::Arguments&, bench::Record&);
};

constexpr Program programs[] = {
    {"trees", bench::trees}, {"mix", bench::mix},     {"graph", bench::graph}, {"latency", bench::latency},
    {"large", bench::large}, {"alloc", bench::alloc}, {"mark", bench::mark},   {"stops", bench::stops},
};

}  // namespace

int main(int count, char** words) {
    for (const Program& program : programs) {
        if (count < 3 || std::strcmp(words[2], program.name) != 0) continue;
        policy::begin();
        bench::Record record(words[1], program.name);
        program.run(bench::Arguments(count - 3, words + 3), record);
        policy::report(record);
        return 0;
    }
    std::fputs("usage: PROGRAM impl benchmark key=value ...\n", stderr);
    return 2;
}
