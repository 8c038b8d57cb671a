// Random object graphs of every kind and size, mutated by threads in turn, compared with a model that knows
// what each object must hold and who must be alive.
//
// A graph is owned by one thread at a time: it takes the graph from a table, holds its roots on its stack, in
// handles or in a registered range, mutates it, checks it and puts it back. Every object carries its number
// and a sum; the model keeps the edges by numbers. Edges are stored as interior pointers half of the time.
// What the model says is unreachable must go, by and large: weak handles tell.
// SPDX-License-Identifier: MIT
#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <unordered_map>

#include "gc/gc_test.hpp"

namespace {

using gc_test::Random;

// The first two data words of an object: a sum and its number.
enum Kind : unsigned { node2, node6, node30, tiles, loose, leaf, kind_count };

constexpr std::uint64_t map2[] = {0b1100};
constexpr std::uint64_t map6[] = {0b1111'1100};
constexpr std::uint64_t map30[] = {0xffff'fffc};
constexpr std::uint64_t map_tile[] = {0b101};
std::uint32_t cells[4];
const cairn_type type2 = {32, 8, CAIRN_TYPED, 4, map2, nullptr, "node2", &cells[0]};
const cairn_type type6 = {64, 8, CAIRN_TYPED, 8, map6, nullptr, "node6", &cells[1]};
const cairn_type type30 = {256, 8, CAIRN_TYPED, 32, map30, nullptr, "node30", &cells[2]};
const cairn_type type_tile = {24, 8, CAIRN_TYPED, 3, map_tile, nullptr, "tile", &cells[3]};

struct Record {
    Kind kind;
    unsigned edges;                    // pointer slots
    std::size_t bytes;
    std::vector<std::uint32_t> to;     // number in each slot, 0: null
    cairn_weak* weak = nullptr;
};

using Word = std::uintptr_t;

Word* words_of(void* object) { return static_cast<Word*>(object); }
// Where the object of this kind keeps its sum and number: tiles have data in the middle of each three words.
Word& sum_of(Kind kind, void* object) { return words_of(object)[kind == tiles ? 1 : 0]; }
Word& number_of(Kind kind, void* object) { return words_of(object)[kind == tiles ? 4 : 1]; }
Word* slot_of(Kind kind, void* object, unsigned i) {
    if (kind == tiles) return words_of(object) + i / 2 * 3 + i % 2 * 2;
    return words_of(object) + 2 + i;
}
Word sum_for(std::uint32_t number, const Record& record) {
    return (Word{number} << 20 ^ (record.bytes * 8 + record.kind)) * 0x9e37'79b9'7f4a'7c15;
}

struct Graph {
    static constexpr unsigned root_count = 12;
    std::unordered_map<std::uint32_t, Record> model;
    std::uint32_t next_number = 1;
    std::uint32_t roots[root_count] = {};  // numbers
    Word hidden[root_count] = {};          // the pointers, while some thread owns the graph: in its frame
    void** handles[root_count] = {};       // while none does: half here,
    Word* range = nullptr;                 // half in registered memory
    long dead_seen = 0, dead_alive = 0;
};

[[gnu::noinline]] void* allocate(Random& random, Record& record) {
    switch (record.kind) {
    case node2: record.edges = 2; record.bytes = 32; return cairn_alloc(32, &type2);
    case node6: record.edges = 6; record.bytes = 64; return cairn_alloc(64, &type6);
    case node30: record.edges = 30; record.bytes = 256; return cairn_alloc(256, &type30);
    case tiles: {
        std::size_t count = 2 + random.below(40);
        if (random.one_in(20)) count = 2 + random.below(8000);
        record.edges = static_cast<unsigned>(2 * count);
        record.bytes = 24 * count;
        return cairn_alloc_array(count, &type_tile);
    }
    case loose: {
        record.bytes = 16 + 8 * random.below(60);
        if (random.one_in(20)) record.bytes = 16 + 8 * random.below(20'000);
        record.edges = static_cast<unsigned>(record.bytes / 8 - 2);
        return cairn_alloc_conservative(record.bytes);
    }
    default:
        record.edges = 0;
        record.bytes = 16 + random.below(random.one_in(20) ? 100'000 : 300);
        return cairn_alloc_noscan(record.bytes);
    }
}

// The graph as its owner sees it: roots in this frame.
class Owner {
public:
    Owner(Graph& graph, Random& random, void* volatile* roots)
        : graph_(graph), random_(random), roots_(roots) {}

    void mutate() {
        switch (random_.below(10)) {
        case 0: case 1: case 2: grow(); break;
        case 3: case 4: case 5: link(); break;
        case 6: unlink(); break;
        case 7: move_root(); break;
        case 8: swap_slots(); break;
        default: if (random_.one_in(8)) drop_root(); break;
        }
    }

    // Every object that the model says is reachable is there, whole, and points to where it should.
    void check() {
        std::unordered_map<std::uint32_t, void*> seen;
        std::deque<std::uint32_t> left;
        const auto visit = [&](std::uint32_t number, Word word) {
            if (number == 0) {
                REQUIRE(word == 0);
                return;
            }
            void* object = base_of(number, word);
            const auto [at, is_new] = seen.emplace(number, object);
            REQUIRE_AT(at->second == object, number);
            if (is_new) left.push_back(number);
        };
        for (unsigned i = 0; i < Graph::root_count; ++i)
            visit(graph_.roots[i], reinterpret_cast<Word>(roots_[i]));
        while (!left.empty()) {
            const std::uint32_t number = left.front();
            left.pop_front();
            const Record& record = graph_.model.at(number);
            for (unsigned i = 0; i < record.edges; ++i)
                visit(record.to.empty() ? 0 : record.to[i], load(record.kind, seen.at(number), i));
        }
        forget_unreachable(seen);
    }

private:
    static Word load(Kind kind, void* object, unsigned i) {
        return __atomic_load_n(slot_of(kind, object, i), __ATOMIC_RELAXED);
    }
    static void store(Kind kind, void* object, unsigned i, Word word) {
        Word* slot = slot_of(kind, object, i);
        if (kind == loose) __atomic_store_n(slot, word, __ATOMIC_RELAXED);
        else cairn_store(slot, reinterpret_cast<void*>(word));
    }

    // The object numbered `number` that `word` points into.
    void* base_of(std::uint32_t number, Word word) {
        void* object = cairn_object_base(reinterpret_cast<void*>(word));
        REQUIRE_AT(object != nullptr, number);
        const Record& record = graph_.model.at(number);
        REQUIRE_AT(number_of(record.kind, object) == number, number);
        REQUIRE_AT(sum_of(record.kind, object) == sum_for(number, record), number);
        REQUIRE_AT(cairn_object_size(object) >= record.bytes, number);
        return object;
    }
    Word pointer_into(void* object, const Record& record) {
        const Word base = reinterpret_cast<Word>(object);
        return random_.one_in(2) ? base : base + random_.below(record.bytes);
    }

    struct Place {
        std::uint32_t number = 0;
        void* object = nullptr;
    };
    // Some object, by a walk from some root.
    Place some() {
        const unsigned i = static_cast<unsigned>(random_.below(Graph::root_count));
        if (graph_.roots[i] == 0) return {};
        Place at{graph_.roots[i], base_of(graph_.roots[i], reinterpret_cast<Word>(roots_[i]))};
        for (std::uint64_t steps = random_.below(12); steps > 0; --steps) {
            const Record& record = graph_.model.at(at.number);
            if (record.to.empty()) break;
            const unsigned slot = static_cast<unsigned>(random_.below(record.edges));
            if (record.to[slot] == 0) continue;
            at = {record.to[slot], base_of(record.to[slot], load(record.kind, at.object, slot))};
        }
        return at;
    }

    void set_edge(const Place& from, unsigned slot, const Place& to) {
        Record& record = graph_.model.at(from.number);
        if (record.to.empty()) record.to.resize(record.edges);
        record.to[slot] = to.number;
        store(record.kind, from.object, slot,
              to.number == 0 ? 0 : pointer_into(to.object, graph_.model.at(to.number)));
    }
    unsigned some_slot(const Record& record) { return static_cast<unsigned>(random_.below(record.edges)); }

    void grow() {
        Record record{};
        record.kind = static_cast<Kind>(random_.below(kind_count));
        const std::uint32_t number = graph_.next_number++;
        void* object = allocate(random_, record);
        REQUIRE(object != nullptr);
        for (unsigned i = 0; i < record.edges; ++i) REQUIRE_AT(load(record.kind, object, i) == 0, i);
        number_of(record.kind, object) = number;
        sum_of(record.kind, object) = sum_for(number, record);
        if (random_.one_in(4)) record.weak = cairn_weak_create(object);
        graph_.model.emplace(number, record);
        const Place from = some();
        if (from.number != 0 && graph_.model.at(from.number).edges != 0) {
            set_edge(from, some_slot(graph_.model.at(from.number)), {number, object});
        } else {
            set_root(static_cast<unsigned>(random_.below(Graph::root_count)), {number, object});
        }
    }
    void set_root(unsigned i, const Place& to) {
        graph_.roots[i] = to.number;
        roots_[i] = to.number == 0
                        ? nullptr
                        : reinterpret_cast<void*>(pointer_into(to.object, graph_.model.at(to.number)));
    }
    void link() {
        const Place from = some();
        if (from.number == 0 || graph_.model.at(from.number).edges == 0) return;
        set_edge(from, some_slot(graph_.model.at(from.number)), some());
    }
    void unlink() {
        const Place from = some();
        if (from.number == 0 || graph_.model.at(from.number).edges == 0) return;
        set_edge(from, some_slot(graph_.model.at(from.number)), {});
    }
    void move_root() { set_root(static_cast<unsigned>(random_.below(Graph::root_count)), some()); }
    void drop_root() { set_root(static_cast<unsigned>(random_.below(Graph::root_count)), {}); }

    // The hard case for a concurrent marker: a pointer goes from one object to another, and from there away.
    void swap_slots() {
        const Place from = some();
        const Place to = some();
        if (from.number == 0 || to.number == 0) return;
        const Record& record = graph_.model.at(from.number);
        if (record.to.empty() || graph_.model.at(to.number).edges == 0) return;
        const unsigned slot = some_slot(record);
        if (record.to[slot] == 0) return;
        const Place moved{record.to[slot], base_of(record.to[slot], load(record.kind, from.object, slot))};
        set_edge(from, slot, {});
        set_edge(to, some_slot(graph_.model.at(to.number)), moved);
    }

    void forget_unreachable(const std::unordered_map<std::uint32_t, void*>& seen) {
        for (auto at = graph_.model.begin(); at != graph_.model.end();) {
            if (seen.count(at->first) != 0) {
                if (at->second.weak != nullptr)
                    REQUIRE(cairn_weak_get(at->second.weak) == seen.at(at->first));
                ++at;
                continue;
            }
            if (at->second.weak != nullptr) dead_.push_back(at->second.weak);
            at = graph_.model.erase(at);
        }
    }

public:
    // Handles of objects that nobody reaches; to be looked at after cycles.
    std::vector<cairn_weak*> dead_;

private:
    Graph& graph_;
    Random& random_;
    void* volatile* const roots_;
};

std::mutex mutex;
std::vector<Graph*> idle;               // [lock] mutex
std::vector<cairn_weak*> all_dead;      // [lock] mutex
std::atomic<long> checks{0};

void take_turn(Graph& graph, Random& random, long steps) {
    void* volatile roots[Graph::root_count];
    for (unsigned i = 0; i < Graph::root_count; ++i)
        roots[i] = i % 2 == 0 ? *graph.handles[i] : reinterpret_cast<void*>(graph.range[i]);
    for (unsigned i = 0; i < Graph::root_count; ++i) {
        if (i % 2 == 0) cairn_store(graph.handles[i], nullptr);
        else __atomic_store_n(&graph.range[i], 0, __ATOMIC_RELAXED);
    }
    Owner owner(graph, random, roots);
    for (long step = 0; step < steps; ++step) owner.mutate();
    owner.check();
    ++checks;
    for (unsigned i = 0; i < Graph::root_count; ++i) {
        if (i % 2 == 0) cairn_store(graph.handles[i], roots[i]);
        else __atomic_store_n(&graph.range[i], reinterpret_cast<Word>(roots[i]), __ATOMIC_RELAXED);
    }
    std::lock_guard guard(mutex);
    all_dead.insert(all_dead.end(), owner.dead_.begin(), owner.dead_.end());
}

void work(std::uint64_t seed, long turns, long steps) {
    Random random(seed);
    for (long turn = 0; turn < turns; ++turn) {
        Graph* graph = nullptr;
        {
            std::lock_guard guard(mutex);
            const std::size_t at = random.below(idle.size());
            graph = idle[at];
            idle.erase(idle.begin() + static_cast<std::ptrdiff_t>(at));
        }
        take_turn(*graph, random, steps);
        {
            std::lock_guard guard(mutex);
            idle.push_back(graph);
        }
        if (random.one_in(16)) cairn_collect();
    }
}

Graph* make_graph() {
    auto* graph = new Graph;
    for (void**& handle : graph->handles) REQUIRE((handle = cairn_root_create(nullptr)) != nullptr);
    graph->range = static_cast<Word*>(std::calloc(Graph::root_count, sizeof(Word)));
    REQUIRE(cairn_roots_add_range(graph->range, graph->range + Graph::root_count) == 0);
    return graph;
}

void drop_graph(Graph* graph) {
    for (void** handle : graph->handles) cairn_root_destroy(handle);
    cairn_roots_remove_range(graph->range, graph->range + Graph::root_count);
    std::free(graph->range);
    delete graph;
}

// A few may be held by stale words on stacks, and what they reach with them: objects are few in a graph.
void check_dead() {
    gc_test::wipe_stack();
    cairn_collect();
    cairn_collect();
    std::size_t alive = 0;
    for (cairn_weak* weak : all_dead) {
        alive += cairn_weak_get(weak) != nullptr;
        cairn_weak_destroy(weak);
    }
    std::printf("%zu of %zu unreachable objects still there\n", alive, all_dead.size());
    REQUIRE_AT(all_dead.size() > 100, all_dead.size());
    REQUIRE_AT(alive * 5 < all_dead.size(), alive);
}

}  // namespace

int main(int count, char** words) {
    const gc_test::Arguments arguments(count, words);
    constexpr unsigned thread_count = 4;
    for (unsigned i = 0; i < 2 * thread_count; ++i) idle.push_back(make_graph());
    std::vector<std::thread> threads;
    for (unsigned i = 0; i < thread_count; ++i)
        threads.emplace_back(work, gc_test::seed() + i, arguments.scaled(100), 2000);
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    check_dead();
    std::printf("%ld checks, %lu cycles\n", checks.load(), gc_test::stats().cycles);
    REQUIRE(gc_test::stats().cycles > 0 || gc_test::stats().mode == CAIRN_GC_OFF);
    for (Graph* graph : idle) drop_graph(graph);
    return 0;
}
