// What the barrier of cairn::Ptr costs while no cycle runs: a store into a field, beside a raw one.
//
//   barrier rounds=N     prints ns per store of both, the fastest of N rounds, in turns
//
// The stores go to fields of objects in the cache, the values differ, and the compiler cannot drop any.
// SPDX-License-Identifier: MIT
#include <algorithm>

#include "cairn/cairn.hpp"
#include "record.hpp"

namespace {

constexpr std::size_t objects = 512, sweeps = 4000;

struct Managed {
    cairn::Ptr<Managed> field;
    std::uint64_t rest = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Managed::field);
};

struct Raw {
    Raw* field = nullptr;
    std::uint64_t rest = 0;
};

// ns per store. `table` is read too, which costs both alike.
template <class Object>
[[gnu::noinline]] double store(Object* const* table) {
    const std::uint64_t start = bench::now_ns();
    for (std::size_t sweep = 0; sweep < sweeps; ++sweep) {
        for (std::size_t i = 0; i < objects; ++i) {
            Object* object = table[i];
            object->field = table[(i + sweep) % objects];
            bench::escape(object);
        }
    }
    return static_cast<double>(bench::now_ns() - start) / static_cast<double>(sweeps * objects);
}

}  // namespace

int main(int count, char** words) {
    const bench::Arguments sizes(count - 1, words + 1);
    Managed* managed[objects];
    Raw* raw[objects];
    for (Managed*& object : managed) object = cairn::make<Managed>();
    for (Raw*& object : raw) object = new (bench::must(cairn_alloc_noscan(sizeof(Raw)))) Raw;
    cairn::collect();
    double ptr_ns = 1e9, raw_ns = 1e9;
    for (std::uint64_t round = 0; round < sizes["rounds"]; ++round) {
        raw_ns = std::min(raw_ns, store(raw));
        ptr_ns = std::min(ptr_ns, store(managed));
    }
    bench::Record record("cairn", "barrier");
    record.checksum(objects * sweeps);
    record.add("raw_ns", raw_ns);
    record.add("ptr_ns", ptr_ns);
    record.add("over_ns", ptr_ns - raw_ns);
    return 0;
}
