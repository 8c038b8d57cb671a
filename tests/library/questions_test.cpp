// Who holds an object, and that a heap in use is whole.
// SPDX-License-Identifier: MIT
#include <memory>
#include <string>
#include <thread>

#include "library/library.hpp"

namespace {

using library::Loose;
using library::Node;

// "handle > object Node +8 > object Node +0"
std::string holders_of(const void* object) {
    std::string text;
    const std::size_t steps = cairn_who_holds(
        object,
        [](const cairn_step* step, void* context) {
            auto& to = *static_cast<std::string*>(context);
            if (!to.empty()) to += " > ";
            to += step->what;
            if (step->type != nullptr) to += std::string(" ") + step->type;
            if (step->what == std::string("object")) to += " +" + std::to_string(step->offset);
        },
        &text);
    EXPECT_EQ(steps == 0, text.empty());
    return text;
}

TEST(WhoHolds, TellsTheWayFromARoot) {
    cairn::Root<Node> root = cairn::make<Node>();
    root->right = cairn::make<Node>();
    root->right->left = cairn::make<Node>();
    const Node* wanted = root->right->left;
    EXPECT_EQ(holders_of(wanted), "handle > object library::Node +8 > object library::Node +0");
    EXPECT_EQ(holders_of(&wanted->value), holders_of(wanted));
    EXPECT_EQ(holders_of(root), "handle");
}

TEST(WhoHolds, KnowsEveryKindOfRoot) {
    const Node* on_stack = cairn::make<Node>();
    const std::string by_stack = holders_of(on_stack);
    EXPECT_TRUE(by_stack == "stack" || by_stack == "register") << by_stack;
    cairn::keep_alive(on_stack);

    auto range = std::make_unique<Node*>(cairn::make<Node>());
    ASSERT_EQ(cairn_roots_add_range(range.get(), range.get() + 1), 0);
    EXPECT_EQ(holders_of(*range), "range");
    cairn_roots_remove_range(range.get(), range.get() + 1);

    static Loose* global = nullptr;
    global = cairn::make<Loose>();
    ASSERT_TRUE(cairn::scan_static_data(&global));
    EXPECT_EQ(holders_of(global), "static data");
    global->right = cairn::make<Loose>();
    EXPECT_EQ(holders_of(global->right), "static data > object +8");
    global = nullptr;

    Node* finalized = cairn::make<Node>();
    finalized->left = cairn::make<Node>();
    auto hidden = ~reinterpret_cast<std::uintptr_t>(finalized->left.get());
    cairn::set_finalizer(finalized, [](Node*) {});
    EXPECT_FALSE(holders_of(reinterpret_cast<void*>(~hidden)).empty());
}

TEST(WhoHolds, NobodyForWhatIsNoObject) {
    int local = 0;
    EXPECT_EQ(holders_of(&local), "");
    EXPECT_EQ(holders_of(nullptr), "");
    EXPECT_EQ(cairn_who_holds(&local, nullptr, nullptr), 0u);
}

TEST(Verify, FindsAHeapInUseWhole) {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i)
        threads.emplace_back([](const std::stop_token& stop) {
            Node* list = nullptr;
            for (int k = 0; !stop.stop_requested(); ++k) {
                list = cairn::make<Node>(k % 1000 == 0 ? nullptr : list, nullptr, k);
                if (k % 7 == 0) cairn::on_unreachable(cairn::make_array<char>(5000), [] {});
            }
        });
    for (int i = 0; i < 30; ++i) {
        cairn_verify();
        if (i % 5 == 0) cairn::collect();
        (void)holders_of(&threads);
    }
}

}  // namespace
