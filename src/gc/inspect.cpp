// The collector looked at from outside: marks checked at the end of marking, the heap checked between cycles,
// and who holds an object. What is checked and how is verify.hpp's; here it gets a world that stands still.
//
// Floor: gc.
// SPDX-License-Identifier: MIT
#include "gc/collector.hpp"
#include "gc/verify.hpp"

namespace cairn::gc {

namespace {

using VisitRange = void (*)(void* visitor, std::uintptr_t low, std::uintptr_t high, RootKind kind);

// What a callback of two addresses needs to add the kind.
struct Labelled {
    VisitRange visit;
    void* visitor;
    RootKind kind;
};

void visit_threads(World& world, VisitRange visit, void* visitor) {
    world.for_each([&](ThreadRecord& thread) {
        World::for_each_root_range(thread, [&](std::uintptr_t low, std::uintptr_t high) {
            const bool is_block = low == thread.block.low;
            const bool is_stack = low >= thread.stack.low && high <= thread.stack.high;
            visit(visitor, low, high,
                  is_block   ? RootKind::thread_data
                  : is_stack ? RootKind::stack
                             : RootKind::registers);
        });
    });
    world.fibers().visit_unscanned(
        [&](std::uintptr_t low, std::uintptr_t high) { visit(visitor, low, high, RootKind::stack); }, true);
}

// The jobs were prepared in this stop.
void visit_root_set(RootSet& roots, VisitRange visit, void* visitor) {
    for (std::size_t job = 0; job < roots.job_count(); ++job) {
        Labelled to{visit, visitor,
                    job < roots.cells().slab_count() ? RootKind::handle : RootKind::static_data};
        roots.visit_job(
            job, Reading::while_stopped, nullptr,
            [](void* context, std::uintptr_t low, std::uintptr_t high) {
                const auto& labelled = *static_cast<Labelled*>(context);
                labelled.visit(labelled.visitor, low, high, labelled.kind);
            },
            &to);
    }
}

void enumerate_roots(void* context, VisitRange visit, void* visitor) {
    auto& collector = *static_cast<Collector*>(context);
    visit_threads(collector.world(), visit, visitor);
    visit_root_set(collector.roots(), visit, visitor);
}

}  // namespace

// A number in an old object may have become the address of a new one without being written: where a page is
// armed still, a young cycle is right not to look.
void Collector::check_marks() {
    Explorer::Passed passed;
    passed.context = &watch_;
    passed.is_passed = [](void* watch, std::uintptr_t at) {
        return static_cast<ConservativeWatch*>(watch)->is_unwritten(at);
    };
    if (!now_.is_young) passed = {};
    Verifier(heap_->swept(), finalizer_, {this, enumerate_roots}).check_marks(passed);
}

// False: the world cannot be stopped, or not all roots are known.
bool Collector::stop_between_cycles(Mutator& mutator) {
    World::enter_blocking(mutator.thread);
    turn_.take();
    finish_sweep();
    const bool knows_roots = roots_.refresh();
    World::leave_blocking(mutator.thread);
    if (knows_roots && world_.stop_all(&mutator.thread)) {
        roots_.prepare_jobs();
        return true;
    }
    turn_.end();
    return false;
}

void Collector::resume_after_look() {
    world_.resume_all();
    turn_.end();
}

bool Collector::verify(Mutator& mutator) {
    InRuntime inside(mutator);
    if (!stop_between_cycles(mutator)) return false;
    Verifier(heap_->swept(), finalizer_, {this, enumerate_roots}).check_spans(true);
    resume_after_look();
    return true;
}

bool Collector::find_holders(Mutator& mutator, const void* address, HolderPath& path) {
    InRuntime inside(mutator);
    if (!stop_between_cycles(mutator)) return false;
    Verifier verifier(heap_->swept(), finalizer_, {this, enumerate_roots});
    const bool is_found = path.find(verifier, reinterpret_cast<std::uintptr_t>(address));
    resume_after_look();
    return is_found;
}

}  // namespace cairn::gc
