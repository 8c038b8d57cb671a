// What the front end tells of each line. A comment at its end names the warning that must come, or begins
// with the verdict on that line's cairn::make. Other lines must get nothing. Never run, only parsed.
// SPDX-License-Identifier: MIT
#include <array>
#include <cstdio>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "cairn/cairn.hpp"
#include "cairn/containers.hpp"

// ---- types

struct Vec {
    double x = 0, y = 0, z = 0;
    double sum() const { return x + y + z; }
    Vec* me() { return this; }
    Vec& twice() {
        x *= 2;
        return *this;
    }
};
struct Node {
    cairn::Ptr<Node> next;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::next);
};
struct Derived : Node {
    cairn::Ptr<Node> other;
    static constexpr auto cairn_pointers = cairn::pointers<Derived>(cairn::base<Node>, &Derived::other);
};
struct Promise : cairn::Collected {
    cairn::Ptr<Node> node;
};
struct Plain {
    long number;
};

// ---- raw pointers in typed classes

struct Raw {
    cairn::Ptr<Node> first;
    Node* second;             // warn raw-field
    Node* many[4];            // warn raw-field
    Vec* vector;              // warn raw-field
    Promise* promise;         // warn raw-field
    Plain* plain;
    const char* name;
    void* anything;
    long (*function)(Node*);
    Node** indirect;
    [[clang::annotate("cairn_unchecked")]] Node* known;
    static inline Node* shared = nullptr;
    static constexpr auto cairn_pointers = cairn::pointers(&Raw::first);
};
struct Conservative {
    Node* found;
    cairn::Ptr<Node> also;
};
template <class T>
struct Chain {
    cairn::Ptr<Chain> next;
    T* item;  // warn raw-field
    static constexpr auto cairn_pointers = cairn::pointers(&Chain::next);
};
template struct Chain<Vec>;
template struct Chain<Plain>;
struct Foreign {
    cairn::Ptr<Node> node;
    Node* lost;  // warn raw-field
};
template <>
inline constexpr auto cairn::pointers_of<Foreign> = cairn::pointers(&Foreign::node);

// ---- lines that leave something out

struct Pair {
    cairn::Ptr<Node> left, right;
    static constexpr auto cairn_pointers = cairn::pointers(&Pair::left, &Pair::right);
};
struct LeftOut {
    cairn::Ptr<Node> left;
    cairn::Ptr<Node> right;                  // warn unlisted-field
    cairn::AtomicPtr<Node> racy;             // warn unlisted-field
    std::array<cairn::Ptr<Node>, 2> two;     // warn unlisted-field
    Pair pair;                               // warn unlisted-field
    Pair listed;
    long number;
    cairn::Root<Node> root;
    static constexpr auto cairn_pointers = cairn::pointers(&LeftOut::left, &LeftOut::listed);
};
struct BaseLeftOut : Node {  // warn unlisted-field
    cairn::Ptr<Node> other;
    static constexpr auto cairn_pointers = cairn::pointers<BaseLeftOut>(&BaseLeftOut::other);
};
struct FieldOfBaseListed : Node {
    static constexpr auto cairn_pointers = cairn::pointers<FieldOfBaseListed>(&FieldOfBaseListed::next);
};
struct NothingListed {
    cairn::Ptr<Node> node;  // warn unlisted-field
    static constexpr auto cairn_pointers = cairn::pointers<NothingListed>();
};
struct NoPointers {
    long a, b;
    static constexpr auto cairn_pointers = cairn::pointers<NoPointers>();
};

// ---- Ptr in malloc's memory

Node* g_node;
void* g_any;

void in_malloc() {
    g_node = new Node;                                        // warn ptr-in-malloc
    g_any = new Node[4];                                      // warn ptr-in-malloc
    g_any = new Derived;                                      // warn ptr-in-malloc
    g_any = static_cast<Node*>(std::malloc(sizeof(Node)));    // warn ptr-in-malloc
    g_any = (Node*)calloc(4, sizeof(Node));                   // warn ptr-in-malloc
    auto shared = std::make_shared<Node>();                   // warn ptr-in-malloc
    auto unique = std::make_unique<Pair>();                   // warn ptr-in-malloc
    g_node = unique->left;
    std::vector<cairn::Ptr<Node>> vector;                     // warn ptr-in-malloc
    std::vector<std::vector<Node>> deep;                      // warn ptr-in-malloc
    std::map<int, cairn::Ptr<Node>> map;                      // warn ptr-in-malloc
    g_any = vector.data();
    g_any = &deep;
    g_any = &map;
}
struct Owner {
    std::vector<cairn::Ptr<Node>> nodes;  // warn ptr-in-malloc
    std::vector<cairn::Root<Node>> roots;
};
void in_scanned_memory(void* place) {
    g_any = new Promise;
    g_any = new (place) Node;
    g_any = std::malloc(sizeof(Node));
    g_any = static_cast<Plain*>(std::malloc(sizeof(Plain)));
    auto promise = std::make_unique<Promise>();
    g_any = promise.get();
    std::vector<cairn::Ptr<Node>, cairn::allocator<cairn::Ptr<Node>>> vector;
    g_any = vector.data();
    std::vector<cairn::Root<Node>> roots;
    g_any = &roots;
    std::pmr::vector<cairn::Ptr<Node>> elsewhere(cairn::memory_resource());
    g_any = &elsewhere;
    [[clang::annotate("cairn_unchecked")]] std::vector<cairn::Ptr<Node>> told;
    g_any = &told;
    std::array<cairn::Ptr<Node>, 4> on_the_stack;
    g_any = on_the_stack.data();
    cairn::Ptr<Node> local = g_node;
    g_any = local.get();
}

// ---- threads

void use(Node*);
struct Server {
    cairn::Ptr<Node> node;
    static constexpr auto cairn_pointers = cairn::pointers(&Server::node);
    void start() {
        std::thread([this] { use(node); }).detach();  // warn thread-capture
    }
};
struct Outside {
    long number = 0;
    void start() {
        std::thread([this] { ++number; }).detach();
    }
};
void threads_lose(Node* given) {
    Node* made = g_node;
    std::thread([made] { use(made); }).detach();                        // warn thread-capture
    std::thread([given] { use(given); }).detach();                      // warn thread-capture
    std::thread(use, g_node ? g_node->next.get() : nullptr).detach();   // warn thread-capture
    cairn::Ptr<Node> smart = g_node;
    std::thread thread([=] { use(smart); });                            // warn thread-capture
    thread.join();
    Node* other = g_node;
    auto closure = [other] { use(other); };                             // warn thread-capture
    std::thread later(closure);
    later.join();
    Node* last = g_node;
    auto done = std::async(std::launch::async, [last] { use(last); });  // warn thread-capture
    done.wait();
}
void threads_keep(Node* given, Plain* plain) {
    Node* made = g_node;
    std::thread first([made] { use(made); });
    first.join();
    cairn::keep_alive(made);
    cairn::Root<Node> root = given;
    std::thread([root] { use(root); }).detach();
    std::thread second([&given] { use(given); });
    second.join();
    std::thread([plain] { plain->number = 1; }).detach();
    std::thread([number = given->value] { std::printf("%ld", number); }).detach();
    [[maybe_unused]] auto no_thread = [given] { use(given); };
    Node here;
    Node* local = &here;
    std::thread third([local] { use(local); });
    third.join();
    std::thread fourth([] { use(g_node); });
    fourth.join();
}

// ---- new and make_unique

long keep_plain(Plain* plain);
long read_plain(const Plain* plain) { return plain->number; }
Plain* same(Plain* plain) { return plain; }
struct Registered {
    Registered();
    long number = 0;
};
struct SelfKept {
    SelfKept() { g_any = this; }
    long number = 0;
};
struct Guard {
    ~Guard() { std::puts("bye"); }
    int code = 0;
};
struct Big {
    char bytes[4096];
};
struct Animal {
    virtual ~Animal() = default;
    virtual int legs() { return 4; }
};

long could_be_local() {
    Plain* plain = new Plain{1};                    // warn could-be-local
    plain->number += 2;
    const long result = plain->number;
    delete plain;
    auto* vec = new Vec;                            // warn could-be-local
    vec->x = 1;
    vec->y = vec->sum();
    Vec& alias = *vec;
    alias.z = 2;
    auto unique = std::make_unique<Vec>();          // warn could-be-local
    unique->x = 3;
    (*unique).y = unique->sum();
    const auto owned = std::make_unique<Plain>();   // warn could-be-local
    if (owned) owned->number = read_plain(owned.get());
    Guard* guard = new Guard;                       // warn could-be-local
    guard->code = 1;
    delete guard;
    long total = result;
    for (int i = 0; i < 3; ++i) {
        int* counter = new int(i);                  // warn could-be-local
        total += *counter;
        delete counter;
    }
    return total + long(vec->y);
}
template <class T>
long in_template() {
    T* made = new T();  // warn could-be-local
    return made->number;
}
template long in_template<Plain>();

Plain* returned() {
    Plain* plain = new Plain{1};
    return plain;
}
Plain* returned_by_callee() {
    Plain* plain = new Plain{1};
    return same(plain);
}
std::unique_ptr<Plain> moved() {
    auto plain = std::make_unique<Plain>();
    plain->number = 1;
    return plain;
}
void not_certain(Plain** out, std::vector<std::unique_ptr<Plain>>& sink, Plain& source) {
    Plain* global = new Plain{1};
    g_any = global;
    Plain* stored = new Plain{1};
    *out = stored;
    Plain* unknown = new Plain{1};
    keep_plain(unknown);
    Plain* changed = new Plain{1};
    delete changed;
    changed = nullptr;
    Plain* captured = new Plain{1};
    std::function<void()> call = [captured] { captured->number = 2; };
    call();
    auto given = std::make_unique<Plain>();
    sink.push_back(std::move(given));
    auto reset = std::make_unique<Plain>();
    reset.reset();
    auto released = std::make_unique<Plain>();
    g_any = released.release();
    auto* registered = new Registered;
    delete registered;
    auto* self = new SelfKept;
    delete self;
    auto* never_destroyed = new Guard;
    never_destroyed->code = 2;
    auto* big = new Big;
    big->bytes[0] = 1;
    delete big;
    auto* array = new long[4];
    array[0] = 1;
    delete[] array;
    static Plain* once = new Plain{1};
    once->number = 2;
    Animal* animal = new Animal;
    std::printf("%d", animal->legs());
    delete animal;
    Plain* number = new Plain{1};
    std::printf("%lx", reinterpret_cast<unsigned long>(number));
    Plain& reference = *new Plain{1};
    reference.number = source.number;
    Plain* by_reference = new Plain{1};
    Plain*& other_name = by_reference;
    other_name = nullptr;
    auto& [part] = *new Plain{1};
    g_any = &part;
    [[clang::annotate("cairn_unchecked")]] auto* wanted = new Plain{1};
    wanted->number = 1;
    struct Holder {
        Plain* plain;
    } holder{new Plain{1}};
    g_any = &holder;
}

// ---- verdicts

Vec* g_vec;
Vec* leaks_result(Vec* vec) { return vec; }
void leaks(Vec* vec) { g_vec = vec; }
double reads(const Vec& vec) { return vec.x; }
void unknown(Vec* vec);
void promised(CAIRN_NOESCAPE Vec* vec);

double local() {
    auto* p = cairn::make<Vec>(1., 2., 3.);  // stack: 'p' (Vec) does not escape
    p->x += p->sum();
    auto* q = cairn::make<Vec>();  // heap: 'q' (Vec) escapes to heap: 'this' of 'twice' leaks: returned
    q->twice().y = 1;
    return p->x;
}
double quiet_local() {
    auto* p = cairn::make<Vec>(1., 2., 3.);  // stack: 'p' (Vec) does not escape
    Vec copy = *p;
    auto* q = p;
    promised(q);
    return p->sum() + reads(*q) + copy.x;
}
Node* linked() {
    auto* first = cairn::make<Node>();   // heap: 'first' (Node) escapes to heap: returned
    auto* second = cairn::make<Node>();  // heap: 'second' (Node) escapes to heap: stored in a cairn::Ptr
    first->next = second;
    return first;
}
void verdicts(Vec** out) {
    g_vec = cairn::make<Vec>();          // heap: stored to global 'g_vec'
    *out = cairn::make<Vec>();           // heap: stored to memory through a pointer
    unknown(cairn::make<Vec>());         // heap: passed to unknown function 'unknown'
    leaks(cairn::make<Vec>());           // heap: parameter 'vec' of 'leaks' leaks: stored to global 'g_vec'
    leaks_result(cairn::make<Vec>());    // heap: leaks: returned
    auto& r = *cairn::make<Vec>();       // heap: moved to heap: r: stored to global 'g_vec'
    g_vec = &r;
    auto* guard = cairn::make<Guard>();  // heap: its type has a destructor
    guard->code = 1;
    auto* heap = cairn::make_heap<Vec>();  // heap: make_heap asks for it
    heap->x = 1;
    auto* self = cairn::make<SelfKept>();  // heap: leaks: stored to global 'g_any'
    self->number = 1;
    Vec* previous = nullptr;
    for (int i = 0; i < 3; ++i) {
        auto* round = cairn::make<Vec>();  // stack: 'round' (Vec) does not escape
        round->x = i;
        auto* next = cairn::make<Vec>();   // heap: lives beyond the loop iteration that allocates it
        if (previous != nullptr) previous->x = next->x;
        previous = next;
    }
    const auto closure = [] {
        auto* inside = cairn::make<Vec>();  // stack: 'inside' (Vec) does not escape
        return inside->x;
    };
    closure();
}
