"""The generator of random_programs.py: pointer programs in C++, many of them in one file.

What a program may do: objects of many types, linked, copied, cast, swapped, kept in globals, statics, arrays,
closures, containers, exceptions, coroutine frames; addresses of their parts; loops, with what they made
carried over and not; calls of itself and through tables; setjmp; threads. Between its steps a function
scribbles over the stack below. Every variable always points to an object, so that any step may follow any
other.
"""
# SPDX-License-Identifier: MIT
import random

PROLOGUE = """
#include <any>
#include <array>
#include <atomic>
#include <coroutine>
#include <csetjmp>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <optional>
#include <thread>
#include <tuple>
#include <utility>
#include <variant>
#include <vector>
#include "cairn/containers.hpp"
using Number = unsigned long;
struct N {
    cairn::Ptr<N> a, b;
    Number v = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&N::a, &N::b);
};
struct H { N* p; Number n; N* q; };                              // a local variable, or on the heap
struct T { cairn::AtomicPtr<N> p; Number n = 0; };
struct F { N* p; Number n; ~F() { n = 0; } };                    // gets a finalizer
struct S { N* p; virtual Number area() const = 0; explicit S(N* p) : p(p) {} };
struct S1 final : S {
    Number n;
    S1(N* p, Number n) : S(p), n(n) {}
    Number area() const override { return n + p->v; }
};
struct S2 : S { using S::S; Number area() const override { return p->v * 3; } };
struct S3 final : S2 { using S2::S2; Number area() const override { return S2::area() + 1; } };
struct Thrower { N* p; Thrower(N* p, Number n) : p(p) { if (n % 3 == 1) throw p; } };
template <Number bytes> struct Bytes { unsigned char at[bytes]; };
struct alignas(64) Wide { N* p; Number n[9]; };
N* globals[4];
Number total;
volatile Number zero;
long fuel;
using cairn::make;
#define NOINLINE [[gnu::noinline]]
NOINLINE Number look(const N* p) {
    Number sum = 0;
    for (int i = 0; p != nullptr && i < 6; ++i, p = i & 1 ? p->a : p->b) sum = sum * 3 + p->v;
    return sum;
}
NOINLINE Number look_held(const H& h) { return look(h.p) + h.n + (h.q != nullptr ? h.q->v : 0); }
NOINLINE Number look_copied(H h) { return look(h.q) * 5 + look(h.p); }
NOINLINE H held(N* p, N* q, Number n) { return {p, n, q}; }
NOINLINE N* pass(N* p) { ++p->v; return p; }
NOINLINE N* pick(N* p, N* q, Number n) { return n & 1 ? p : q; }
NOINLINE N** slot_of(H& h, Number n) { return n & 1 ? &h.p : &h.q; }
NOINLINE void put(N** slot, N* p) { *slot = p; }
NOINLINE void keep(N* p, Number n) { globals[n & 3] = p; }
NOINLINE void throw_it(N* p, Number n) { if (n & 1) throw p; if (n & 2) throw n; }
NOINLINE Number throw_on(N* p, Number n) {
    try { throw_it(p, n); return 1; } catch (Number k) { return k; } catch (N* q) { ++q->v; throw; }
}
NOINLINE Number add_all(const Number* numbers, int count) {
    Number sum = 0;
    for (int i = 0; i < count; ++i) sum = sum * 7 + numbers[i];
    return sum;
}
NOINLINE Number fill(unsigned char* bytes, int count, Number n) {
    Number sum = 0;
    for (int i = 0; i < count; i += 9) sum += bytes[i], bytes[i] = n + i;
    return sum + bytes[count / 18 * 9];
}
NOINLINE Number area_of(const S* s) { return s->area(); }
template <class Function> NOINLINE Number call(Function f) { return f(); }
template <class Function> NOINLINE Number call_by(const Function& f) { return f() * 2; }
inline N* linked(N* p, N* q) { p->a = q; return p; }
NOINLINE Number scribble_away() {
    volatile Number deep[200];
    for (int i = 0; i < 200; ++i) deep[i] = 0x5a5a5a5a5a;
    return deep[7] & 1;
}
NOINLINE void scribble() { total += scribble_away(); }
NOINLINE N* boxed(N* p) { return make<N>(p, nullptr, 5UL); }
NOINLINE N* chain(N* p, Number n) { return n == 0 ? p : chain(make<N>(p, nullptr, n), n - 1); }
NOINLINE Number down(N* p, Number n) {
    if (n == 0) return look(p);
    N* here = make<N>(p, nullptr, n);
    return down(here, n - 1) * 3 + look(here);
}
NOINLINE Number jump(N* p, Number n) {
    std::jmp_buf place;
    N* volatile x = make<N>(p, nullptr, n);
    if (setjmp(place) != 0) return look(x);
    x = make<N>(x, p, n + 1);
    if (n & 1) std::longjmp(place, 1);
    return look(x) + 1;
}
struct Walk {
    struct promise_type : cairn::Collected {
        N* at = nullptr;
        Walk get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
        std::suspend_always initial_suspend() noexcept { return {}; }
        std::suspend_always final_suspend() noexcept { return {}; }
        std::suspend_always yield_value(N* p) noexcept { at = p; return {}; }
        void return_void() noexcept {}
        void unhandled_exception() { std::terminate(); }
    };
    std::coroutine_handle<promise_type> handle;
};
NOINLINE Walk walk(N* p, Number n) {
    N* mine = make<N>(p, nullptr, n);
    for (Number i = 0; i < n; ++i) {
        N* now = make<N>(mine, p, i);
        co_yield now;
        N* after = make<N>(now, nullptr, i);
        mine->v += look(after);
    }
}
NOINLINE Number walked(N* p, Number n) {
    Number sum = 0;
    const Walk w = walk(p, n);
    for (w.handle.resume(); !w.handle.done(); w.handle.resume())
        scribble(), sum = sum * 3 + look(w.handle.promise().at);
    w.handle.destroy();
    return sum;
}
"""


class Program:
    """One program: `text()` defines namespace p<seed> with run() in it."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.seed = seed
        self.lines, self.names, self.depth, self.unique = [], [], 1, 0
        self.functions = self.random.randint(2, 5)

    def say(self, text):
        self.lines.append("    " * self.depth + text)

    def fresh(self):
        self.unique += 1
        return f"x{self.unique}"

    def chance(self, share):
        return self.random.random() < share

    def any(self):
        return self.random.choice(self.names)

    def maybe(self):
        return self.random.choice([self.any(), self.any(), "nullptr"])

    def make(self):
        kind = "make_heap" if self.chance(0.03) else "make"
        return f"cairn::{kind}<N>({self.maybe()}, {self.maybe()}, {self.random.randint(1, 99)}UL + n)"

    # ---- one object

    def new(self):
        name = self.fresh()
        self.say(self.random.choice([f"N* {name} = {self.make()};"] * 4 + [
            f"N& {name}r = *{self.make()}; N* {name} = &{name}r; {name}r.a = {self.maybe()};",
            f"N* {name} = n % 3 ? {self.make()} : {self.make()};",
            f"N* {name} = linked({self.make()}, {self.maybe()});"]))
        self.names.append(name)

    def assign(self):
        self.say(f"{self.any()} = {self.make()};")

    def link(self):
        self.say(f"{self.any()}->{self.random.choice('ab')} = {self.maybe()};")

    def copy(self):
        side, source, one, other = self.random.choice("ab"), self.any(), self.any(), self.any()
        self.say(self.random.choice([
            f"{one} = {source}->{side} ? static_cast<N*>({source}->{side}) : {source};",
            f"{one} = n % {self.random.randint(2, 4)} ? {source} : {other};",
            f"{one} = pass({source});", f"{one} = pick({source}, {other}, n);", f"std::swap({one}, {other});",
            f"*{one} = *{other};",
            f"{one} = reinterpret_cast<N*>(reinterpret_cast<std::uintptr_t>({source}));",
            f"total += {one} == {other}; {one} = {one} == {other} ? {source} : {one};"]))

    def leak(self):
        self.say(self.random.choice([f"keep({self.any()}, n);",
                                     f"globals[{self.random.randint(0, 3)}] = {self.any()};",
                                     f"if (globals[n & 3]) {self.any()} = globals[n & 3];",
                                     f"{{ static N* kept; if (kept) total += look(kept);"
                                     f" kept = {self.any()}; }}"]))

    def look(self):
        self.say(self.random.choice([
            f"total += look({self.any()});", f"total += {self.any()}->v;", "scribble();",
            f"total += look({self.any()}); scribble();", f"total += look(boxed({self.any()}));",
            f"total += look(chain({self.any()}, n & 3));", f"total += down({self.any()}, n & 3);"]))

    def part(self):
        """Only the address of a part is left."""
        name, one = self.fresh(), self.any()
        self.say(self.random.choice([
            f"Number* {name} = &{one}->v; scribble(); total += ++*{name};",
            f"cairn::Ptr<N>* {name} = &{one}->b; scribble(); *{name} = {self.any()}; total += look(*{name});",
            f"Number* {name} = &{self.make()}->v; scribble(); *{name} += 2; total += *{name};",
            f"auto {name} = reinterpret_cast<char*>({self.make()}) + offsetof(N, v); scribble();"
            f" {one} = reinterpret_cast<N*>({name} - offsetof(N, v));"]))

    def bytes(self):
        name, one = self.fresh(), self.any()
        self.say(self.random.choice([
            f"alignas(8) unsigned char {name}[sizeof(N)]; std::memcpy({name}, {one}, sizeof(N)); scribble();"
            f" {{ N* y; std::memcpy(&y, {name}, sizeof y); total += look(y); }}",
            f"std::array<N*, 2> {name}{{{one}, {self.any()}}}, {name}c; std::memcpy(&{name}c, &{name}, 16);"
            f" scribble(); {self.any()} = {name}c[n & 1];",
            f"{{ N* y = {self.make()}; N* z; std::memcpy(&z, &y, sizeof y); total += look(z); {one} = z;"
            f" }}"]))

    # ---- objects of other types

    def holder(self):
        name = self.fresh()
        local = f"H {name}{{{self.any()}, n, {self.maybe()}}};"
        collected = f"H& {name} = *make<H>({self.any()}, n, {self.maybe()});"
        result = f"H {name} = held({self.any()}, {self.maybe()}, n);"
        self.say(self.random.choice([local, local, collected, result]))
        self.say(f"scribble(); total += look_held({name});")
        self.say(self.random.choice([
            f"H {name}c; std::memcpy(&{name}c, &{name}, sizeof(H)); {self.any()} = {name}c.p;",
            f"{name}.p = {self.any()}; total += look({name}.p);", f"total += look_copied({name});",
            f"put(&{name}.q, {self.any()}); total += look_held({name}); {self.any()} = {name}.q;",
            f"*slot_of({name}, n) = {self.make()}; scribble(); total += look_held({name});",
            f"H {name}c = {name}; {name}c.q = {name}.p; {self.any()} = {name}c.q;"]))

    def other(self):
        one, other = self.any(), self.any()
        self.say(self.random.choice([
            f"{{ T* t = make<T>({one}, n); scribble(); total += look(t->p.load());"
            f" t->p.store({self.make()}); {other} = t->p.exchange({one}); }}",
            f"{{ F* f = make<F>({one}, n); scribble(); total += look(f->p) + f->n; }}",
            f"{{ Wide* w = make<Wide>(); w->p = {one}; w->n[n % 9] = 3; scribble();"
            f" total += add_all(w->n, 9) + reinterpret_cast<std::uintptr_t>(w) % 64; {other} = w->p; }}",
            f"{{ N* d = {self.make()}; total += look(d); cairn::explicit_free(d); }}",
            f"{{ const cairn::Weak<N> w = {one}; scribble(); total += w.get() == {one}; }}",
            f"cairn::keep_alive({one});"]))

    def table(self):
        one, other = self.any(), self.any()
        first, second = self.random.choice([("S1", ", n"), ("S2", ""), ("S3", "")])
        third, fourth = self.random.choice([("S1", ", n + 1"), ("S2", ""), ("S3", "")])
        self.say(f"{{ S* s = make<{first}>({one}{second}); if (n & 1) s = make<{third}>({other}{fourth});"
                 f" scribble();")
        self.say(f"  total += {self.random.choice(['s->area()', 'area_of(s)'])}; {self.any()} = s->p; }}")

    def array(self):
        count, one = self.random.randint(1, 40), self.any()
        self.say(self.random.choice([
            f"{{ Number* x = cairn::make_array<Number>({count}); x[n % {count}] += n; scribble();"
            f" total += add_all(x, {count}); }}",
            f"{{ auto* x = cairn::make_array<cairn::Ptr<N>>(4); x[n & 3] = {one}; x[3] = {self.maybe()};"
            f" scribble();"
            f" total += look(x[n & 3]); for (int i = 0; i < 4; ++i) if (x[i]) {self.any()} = x[i]; }}",
            f"{{ auto** x = cairn::make_array<N*>(2 + zero); x[1] = {one}; scribble();"
            f" total += look(x[1]); }}",
            f"{{ N x[3]; x[1].a = {one}; x[2].b = {self.make()}; scribble(); total += look(&x[1])"
            f" + look(&x[2]); }}",
            f"{{ auto* x = make<Bytes<{self.random.choice([8, 100, 900, 1500, 9000])}>>(); total += "
            f"fill(x->at, sizeof *x, n); }}"]))

    def through(self):
        """A variable written through its address."""
        one, other = self.any(), self.any()
        self.say(self.random.choice([
            f"{{ N** x = n & 1 ? &{one} : &{other}; *x = {self.make()}; scribble(); total += look(*x); }}",
            f"put(&{one}, {self.make()});", f"{{ N*& x = {one}; x = {other}; x->v += 3; }}"]))

    # ---- closures, containers, exceptions

    def closure(self):
        one, other = self.any(), self.any()
        self.say(self.random.choice([
            f"{{ auto f = [{one}](Number k) {{ return look({one}) * k; }}; scribble(); total += f(n); }}",
            f"{{ std::function<Number(Number)> f = [{one}](Number k) {{ return look({one}) * k; }};"
            f" total += f(n); }}",
            f"{{ auto f = [&] {{ {one} = {self.make()}; return look({other}); }}; total += f();"
            f" total += f(); }}",
            f"total += call([{one}] {{ return look({one}); }});",
            f"total += call_by([&, n] {{ if (n & 1) {one} = {other}; return look({one}); }});",
            f"{{ std::function<Number()> f = [&] {{ return look({one}); }}; {one} = {self.make()};"
            f" scribble();"
            f" total += call_by(f); }}"]))

    def container(self):
        one, other, third = self.any(), self.any(), self.any()
        listed = self.random.choice(["vector", "list"])
        self.say(self.random.choice([
            f"{{ std::vector<N*, cairn::allocator<N*>> v; v.reserve(4); v.push_back({one});"
            f" v.push_back({other});"
            f" scribble(); total += look(v[n & 1]); {third} = v[1]; }}",
            f"{{ std::{listed}<H, cairn::allocator<H>> v; for (Number i = 0; i < 3 + zero; ++i)"
            f" v.push_back({{{self.make()}, i, {one}}}); scribble(); for (H& h : v) total += look_held(h);"
            f" {third} = v.back().p; }}",
            f"{{ std::map<Number, N*, std::less<Number>, cairn::allocator<std::pair<const Number, N*>>> m;"
            f" m[n] = {one}; m[3] = {self.make()}; scribble(); {third} = m.begin()->second; }}",
            f"{{ std::any x = {one}; scribble(); {third} = *std::any_cast<N*>(&x); }}",
            f"{{ std::optional<N*> x; if (n & 1) x = {self.make()}; scribble(); if (x) {third} = *x; }}",
            f"{{ std::variant<Number, N*, H> x = {one}; if (n & 2) x = H{{{other}, n, {one}}}; scribble();"
            f" if (auto* h = std::get_if<H>(&x)) {third} = h->q; else {third} = std::get<1>(x); }}",
            f"{{ auto x = std::make_tuple({one}, n, {self.make()}); scribble(); {third} = std::get<2>(x); }}",
            f"{{ auto x = std::make_unique<N*>({one}); scribble(); total += look(*x);"
            f" cairn::keep_alive({one}); }}"]))

    def thrown(self):
        """Exceptions are malloc's memory, which nobody scans: somebody else has to keep what is thrown."""
        one, other = self.any(), self.any()
        what = one if self.chance(0.3) else "n"
        step = self.random.choice([
            f"try {{ if (n & 1) throw {what}; {other}->v += 2; }}"
            f" catch (N* p) {{ total += p->v; }} catch (Number k) {{ total += k; }}",
            f"try {{ N* y = {self.make()}; throw_it({one}, n); total += look(y); }}"
            f" catch (N* p) {{ {other} = p; }} catch (Number k) {{ total += k; }}",
            f"try {{ total += throw_on({one}, n); }} catch (N* p) {{ scribble(); total += look(p); }}",
            f"try {{ total += look(make<Thrower>({one}, n)->p); }} catch (N* p) {{ {other} = p; }}"])
        self.say(f"{{ N* kept = {one}; {step} cairn::keep_alive(kept); }}")

    def rare(self):
        """What a thread is given is malloc's too."""
        one = self.any()
        step = self.random.choice([
            f"total += jump({one}, n);", f"total += walked({one}, n & 3);",
            f"Number got = 0; std::thread t([&got, {one}] {{ N* y = make<N>({one}, nullptr, 3UL);"
            f" scribble_away();"
            f" got = look(y); }}); t.join(); total += got;",
            f"std::atomic<N*> y; std::thread t([&y, {one}, n] {{ y = make<N>({one}, nullptr, n); }});"
            f" t.join();"
            f" {one} = y;"])
        self.say(f"{{ N* kept = {one}; {step} cairn::keep_alive(kept); }}")

    # ---- control

    def call(self):
        which, less = self.random.randrange(self.functions), self.random.randint(2, 3)
        self.say(f"if (n > {less} && --fuel > 0) {self.any()} = f{which}({self.any()}, n - {less});")

    def loop(self):
        if self.depth >= 4:
            return self.look()
        before, index = list(self.names), self.fresh()
        count = self.random.randint(2, 5)
        carried = None
        if self.chance(0.4):  # of the round before
            carried = self.fresh()
            self.say(f"N* {carried} = {self.maybe()};")
        self.say(self.random.choice([f"for (Number {index} = 0; {index} < {count} + zero; ++{index}) {{",
                                     f"for (Number {index} = {count}; {index}-- > zero;) {{"]))
        self.block(index)
        if carried:
            self.say(self.random.choice([
                f"    if ({carried}) total += look({carried});",
                f"    if ({carried}) {self.any()}->a = {carried};",
                f"    if ({carried} && {index} & 1) {{ {self.any()} = {carried}; }}"]))
            self.say(f"    {carried} = {self.random.choice(self.names)};")
        way_out = self.random.random()
        if way_out < 0.2:
            self.say(f"    if (look({self.random.choice(before)}) % 7 == 3) break;")
        self.say("}")
        self.names = before
        if carried:
            self.say(f"if ({carried}) total += look({carried});")

    def branch(self):
        if self.depth >= 4:
            return self.look()
        before = list(self.names)
        if self.chance(0.3):
            self.say("switch (n % 3) {")
            for which in range(2):
                self.say(f"case {which}: {{")
                self.block()
                through = self.random.choice(["break;", "[[fallthrough]];"]) if which == 0 else "break;"
                self.say("} " + through)
                self.names = list(before)
        else:
            self.say(f"if (n % {self.random.randint(2, 4)} == 0) {{")
            self.block()
            if self.chance(0.4):
                self.names = list(before)
                self.say("} else {")
                self.block()
        self.say("}")
        self.names = before

    def block(self, index=None):
        self.depth += 1
        for _ in range(self.random.randint(2, 4)):
            self.statement()
            if index and self.chance(0.08):
                self.say(f"if ({index} == 1) continue;")
                break
        self.depth -= 1

    def statement(self):
        step = self.random.choices(list(self.steps), self.steps.values())[0]
        if self.is_closed and step in self.ways_out:
            step = self.random.choice([Program.new, Program.look])
        step(self)

    steps = {new: 16, assign: 8, link: 14, copy: 12, leak: 4, look: 8, part: 4, bytes: 3, holder: 7, other: 4,
             table: 3, array: 4, through: 4, closure: 6, container: 5, thrown: 4, rare: 0.6, call: 5, loop: 8,
             branch: 5}
    ways_out = {leak, thrown, rare, call, container, table}

    def define(self, index):
        self.lines.append(f"{self.linkage[index]}N* f{index}(N* p, Number n) {{")
        self.is_closed = self.chance(0.5)  # nothing leaves it on purpose
        self.names = ["p"]
        self.new()
        if self.is_closed:
            self.names.remove("p")
        for _ in range(self.random.randint(8, 16)):
            self.statement()
        # mostly what was there before: else all would leave
        result = self.any() if self.chance(0.2) and not self.is_closed else "p"
        self.lines.append(f"    return {result};\n}}")

    def text(self):
        kinds = ["NOINLINE ", "NOINLINE static ", "static ", "inline ", "", ""]
        self.linkage = [self.random.choice(kinds) for _ in range(self.functions)]
        declarations = [f"{kind}N* f{i}(N* p, Number n);" for i, kind in enumerate(self.linkage)]
        for i in range(self.functions):
            self.define(i)
        calls = "".join(f"    f{i}(make<N>(nullptr, nullptr, k), 4 + k);\n" for i in range(self.functions))
        run = (f"void run() {{\n  for (Number k = 0; k < 5; ++k) {{\n    fuel = 60;\n{calls}"
               f'    std::printf("{self.seed} %lu\\n", total);\n  }}\n}}\n')
        return "\n".join([f"namespace p{self.seed} {{", *declarations, *self.lines, run + "}\n"])


def file_of(seeds):
    """The text of a program that runs those programs one after the other, each from the same start."""
    programs = "".join(Program(seed).text() for seed in seeds)
    runs = "".join(f"    start(); p{seed}::run(); std::fflush(stdout);\n" for seed in seeds)
    start = ("static void start() { total = 0; for (N*& each : globals) each = nullptr; }\n"
             "static_assert(offsetof(N, v) == 16);\n")
    return f"{PROLOGUE}\n{programs}\n{start}int main() {{\n    cairn::scan_static_data(globals);\n{runs}}}\n"
