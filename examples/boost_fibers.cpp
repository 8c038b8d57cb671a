// Fibers with Boost.Context: stacks of another library, known to the collector.
//
// A fiber's stack comes from Cairn, guard page included, and is registered; each switch is told just before
// it happens. So plain pointers on a stack that rests keep their objects, and a stack whose fiber is over
// keeps nothing.
// SPDX-License-Identifier: MIT
#include <boost/context/fiber.hpp>
#include <cstdio>
#include <memory>
#include <vector>

#include "cairn/cairn.hpp"
#include "cairn/fiber.hpp"

namespace context = boost::context;

// What Boost asks of an allocator of stacks: it is called with the fiber that it is for.
struct StackOf {
    cairn::FiberStack* stack;
    [[nodiscard]] context::stack_context allocate() const {
        context::stack_context where;
        where.sp = stack->high();
        where.size = stack->size();
        return where;
    }
    void deallocate(context::stack_context&) const noexcept {}  // the FiberStack's own affair
};

struct Message {
    cairn::Ptr<Message> previous;
    int number = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Message::previous);
};

class Worker {
public:
    explicit Worker(int rounds) : stack_(std::make_unique<cairn::FiberStack>(64 << 10)) {
        fiber_ =
            context::fiber(std::allocator_arg, StackOf{stack_.get()}, [this, rounds](context::fiber&& main) {
                Message* last = nullptr;  // known to this stack alone
                for (int i = 0; i < rounds; ++i) {
                    last = cairn::make<Message>(last, i);
                    cairn::FiberStack::switch_to_thread();
                    main = std::move(main).resume();
                }
                for (; last != nullptr; last = last->previous) sum_ += last->number;
                cairn::FiberStack::switch_to_thread();
                return std::move(main);
            });
    }
    // Runs it up to its next pause; false when it is over.
    bool resume() {
        stack_->switch_here();
        fiber_ = std::move(fiber_).resume();
        return static_cast<bool>(fiber_);
    }
    [[nodiscard]] long sum() const { return sum_; }

private:
    std::unique_ptr<cairn::FiberStack> stack_;
    context::fiber fiber_;
    long sum_ = 0;
};

int main() {
    constexpr int workers = 200, rounds = 100;
    std::vector<std::unique_ptr<Worker>> all;
    for (int i = 0; i < workers; ++i) all.push_back(std::make_unique<Worker>(rounds));
    for (int round = 0; round <= rounds; ++round) {
        for (const auto& worker : all)
            if (worker->resume() != (round < rounds)) return 1;
        if (round % 10 == 0) cairn::collect();
    }
    long sum = 0;
    for (const auto& worker : all) sum += worker->sum();
    all.clear();
    cairn::collect();
    std::printf("%d fibers, %d rounds each: sum %ld\n", workers, rounds, sum);
    return sum == long{workers} * rounds * (rounds - 1) / 2 ? 0 : 1;
}
