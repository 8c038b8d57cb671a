// Threads that race for the same fields: exchange, replace and walk a shared graph of typed, atomic and
// conservative objects, with no lock between them. Whoever reads a pointer must find a whole object there.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <thread>

#include "cairn/cairn.hpp"
#include "gc/gc_test.hpp"

namespace {

using gc_test::Random;

constexpr unsigned fields = 5;
constexpr std::uint64_t mark_of_life = 0x1dea'1dea'1dea'1dea;

struct Typed {
    void* field[fields];
    std::uint64_t life, number, echo;
};
constexpr std::uint64_t typed_map[] = {0b11111};
std::uint32_t cell;
const cairn_type typed = {sizeof(Typed), 8,       CAIRN_TYPED, sizeof(Typed) / 8,
                          typed_map,     nullptr, "typed",     &cell};

// `echo`'s lowest bit says how the object's fields are written; it stays as it is.
bool is_loose(const Typed* object) { return (object->echo & 1) != 0; }

// release and acquire: a reader must see the object's data, as in any program
cairn::AtomicPtr<Typed>& slot_of(Typed* object, std::uint64_t i) {
    return *reinterpret_cast<cairn::AtomicPtr<Typed>*>(&object->field[i]);
}
Typed* load(Typed* object, std::uint64_t i) {
    return static_cast<Typed*>(__atomic_load_n(&object->field[i], __ATOMIC_ACQUIRE));
}
void store(Typed* object, std::uint64_t i, Typed* value) {
    if (is_loose(object)) __atomic_store_n(&object->field[i], value, __ATOMIC_RELEASE);
    else slot_of(object, i).store(value, std::memory_order_release);
}
Typed* exchange(Typed* object, std::uint64_t i, Typed* value) {
    void** field = &object->field[i];
    if (is_loose(object)) return static_cast<Typed*>(__atomic_exchange_n(field, value, __ATOMIC_ACQ_REL));
    return slot_of(object, i).exchange(value);
}
Typed* check(Typed* object) {
    if (object == nullptr) return nullptr;
    REQUIRE_AT(object->life == mark_of_life, object->life);
    REQUIRE_AT(object->number == object->echo >> 1, object->number);
    return object;
}

Typed* make(std::uint64_t number, bool loose) {
    void* memory = loose ? cairn_alloc_conservative(sizeof(Typed)) : cairn_alloc(sizeof(Typed), &typed);
    auto* object = static_cast<Typed*>(memory);
    REQUIRE(object != nullptr);
    for (void* field : object->field) REQUIRE(field == nullptr);
    object->life = mark_of_life;
    object->number = number;
    object->echo = number << 1 | (loose ? 1 : 0);
    return object;
}

constexpr unsigned shared_count = 16;
void** shared[shared_count];

void run(std::uint64_t seed, long steps) {
    Random random(seed);
    Typed* local[8] = {};
    for (long step = 0; step < steps; ++step) {
        const std::uint64_t k = random.below(8);
        const std::uint64_t i = random.below(fields);
        switch (random.below(8)) {
        case 0: case 1: {
            Typed* fresh = make(static_cast<std::uint64_t>(step), random.one_in(3));
            store(fresh, i, local[k]);
            local[k] = fresh;
            break;
        }
        case 2:
            if (local[k] != nullptr) local[(k + 1) % 8] = check(load(local[k], i));
            break;
        case 3:
            if (local[k] != nullptr) store(local[k], i, local[(k + 3) % 8]);
            break;
        case 4:
            if (local[k] != nullptr) store(local[k], i, nullptr);
            break;
        case 5: {
            auto* root = static_cast<Typed*>(*shared[random.below(shared_count)]);
            local[k] = check(exchange(root, i, local[k]));
            break;
        }
        case 6: {
            auto* at = static_cast<Typed*>(*shared[random.below(shared_count)]);
            for (int depth = 0; depth < 30 && at != nullptr; ++depth)
                at = check(load(at, random.below(fields)));
            break;
        }
        default:
            if (random.one_in(64)) local[k] = nullptr;
            // What hangs together must fall apart at times, or everything lives for ever.
            if (random.one_in(2000))
                for (unsigned j = 0; j < fields; ++j)
                    store(static_cast<Typed*>(*shared[k]), j, nullptr);
            break;
        }
        for (Typed* object : local) (void)check(object);
    }
}

}  // namespace

int main(int count, char** words) {
    const gc_test::Arguments arguments(count, words);
    for (unsigned i = 0; i < shared_count; ++i) shared[i] = cairn_root_create(make(i, i % 2 != 0));
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < 4; ++i)
        threads.emplace_back(run, gc_test::seed() * 8 + i, arguments.scaled(3'000'000));
    for (std::thread& thread : threads) thread.join();
    std::printf("%lu cycles\n", gc_test::stats().cycles);
    REQUIRE(gc_test::stats().cycles > 0);
    return 0;
}
