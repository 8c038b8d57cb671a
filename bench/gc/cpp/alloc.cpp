// Objects of one size that are garbage at once: nanoseconds for each, with pointers in them and without.
//
// By hand, the price is that of the pair: allocate and free.
// SPDX-License-Identifier: MIT
#include "policy.hpp"
#include "programs.hpp"

namespace {

using bench::now_ns;

struct Anchor {
    std::uint64_t value = 1;
    static constexpr auto cairn_pointers = policy::pointers<Anchor>();
};

template <std::size_t bytes>
struct Holder {
    policy::Field<Anchor> anchor;
    std::uint64_t rest[bytes / 8 - 1];
    static constexpr auto cairn_pointers = policy::pointers<Holder>(&Holder::anchor);
    Holder(Anchor* a, std::uint64_t order) : anchor(a) { rest[0] = order; }
};

template <std::size_t bytes>
std::uint64_t holders(std::uint64_t count) {
    Anchor* anchor = policy::make<Anchor>();
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        auto* object = policy::make<Holder<bytes>>(anchor, i);
        bench::escape(object);
        Anchor* held = object->anchor;
        sum += held->value + object->rest[0];
        policy::release(object);
    }
    return sum;
}

template <std::size_t bytes>
std::uint64_t plain(std::uint64_t count) {
    std::uint64_t sum = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
        char* object = policy::make_bytes(bytes);
        std::memcpy(object, &i, sizeof i);
        bench::escape(object);
        std::uint64_t order;
        std::memcpy(&order, object, sizeof order);
        sum += 1 + order;
        policy::release_array(object);
    }
    return sum;
}

std::uint64_t run(std::uint64_t bytes, bool typed, std::uint64_t count) {
    switch (bytes) {
    case 16: return typed ? holders<16>(count) : plain<16>(count);
    case 32: return typed ? holders<32>(count) : plain<32>(count);
    case 64: return typed ? holders<64>(count) : plain<64>(count);
    case 256: return typed ? holders<256>(count) : plain<256>(count);
    default: std::fputs("bytes= wants 16, 32, 64 or 256\n", stderr); std::exit(2);
    }
}

}  // namespace

void bench::alloc(const Arguments& sizes, Record& record) {
    const std::uint64_t count = sizes["count"];
    const std::uint64_t start = now_ns();
    const std::uint64_t sum = run(sizes["bytes"], sizes["typed"] != 0, count);
    const std::uint64_t spent = now_ns() - start;
    record.seconds(spent);
    record.checksum(sum);
    record.add("each_ns", static_cast<double>(spent) / static_cast<double>(count));
}
