// Pointer maps, kinds and descriptors of types of every shape, and that a collector finds its way by them.
// SPDX-License-Identifier: MIT
#include "cairn/layout.hpp"

#include <gtest/gtest.h>

#include <bit>
#include <memory>
#include <string>
#include <vector>

#include "cairn/cairn.hpp"
#include "headers/small_collector.hpp"

namespace {

using cairn::Kind;

struct Node {
    cairn::Ptr<Node> left, right;
    long value = 0;
    static constexpr auto cairn_pointers = cairn::pointers(&Node::left, &Node::right);
};
struct Silent {
    cairn::Ptr<Node> node;
};
struct Heir : Node {};
struct Plain {
    int a;
    double b;
    static constexpr auto cairn_pointers = cairn::pointers<Plain>();
};
struct Polymorphic {
    virtual ~Polymorphic() = default;
    char c = 0;
    cairn::Ptr<int> p;
    static constexpr auto cairn_pointers = cairn::pointers(&Polymorphic::p);
};
struct Bystander {
    long words[3];
};
struct SecondBase : Bystander, Node {
    cairn::Ptr<SecondBase> own;
    static constexpr auto cairn_pointers = cairn::pointers<SecondBase>(cairn::base<Node>, &SecondBase::own);
};
struct BaseOnly : Bystander, Node {
    static constexpr auto cairn_pointers = cairn::pointers<BaseOnly>(cairn::base<Node>);
};
struct InheritedMember : Node {
    long more = 0;
    static constexpr auto cairn_pointers =
        cairn::pointers<InheritedMember>(&InheritedMember::left, &InheritedMember::right);
};
struct Arrays {
    long before;
    cairn::Ptr<Node> row[3];
    cairn::Ptr<Node> table[2][2];
    std::array<cairn::Ptr<Node>, 2> standard;
    cairn::AtomicPtr<Node> atomic;
    Node nested[2];
    static constexpr auto cairn_pointers =
        cairn::pointers(&Arrays::row, &Arrays::table, &Arrays::standard, &Arrays::atomic, &Arrays::nested);
};
class Private {
public:
    explicit Private(Node& node) : reference_(node), pointer_(&node) {}
    Private(const Private&) = delete;
    [[nodiscard]] Node* pointer() const { return &reference_ == pointer_ ? pointer_ : nullptr; }

private:
    Node& reference_;
    const cairn::Ptr<Node> pointer_;

public:
    static constexpr auto cairn_pointers = cairn::pointers(&Private::pointer_);
};
struct alignas(64) Aligned {
    char text[40];
    cairn::Ptr<Node> node;
    static constexpr auto cairn_pointers = cairn::pointers(&Aligned::node);
};
struct Wide {
    char text[1000];
    cairn::Ptr<Node> node;
    char tail[9];
    static constexpr auto cairn_pointers = cairn::pointers(&Wide::node);
};
struct Foreign {
    long number;
    cairn::Ptr<Node> node;
};
template <class T>
struct Generic {
    T value;
    cairn::Ptr<Generic> next;
    static constexpr auto cairn_pointers = cairn::pointers(&Generic::next);
};
enum class Colour { red };

}  // namespace

template <>
inline constexpr auto cairn::pointers_of<Foreign> = cairn::pointers(&Foreign::node);

namespace {

template <class T>
std::vector<int> words_of() {
    std::vector<int> words;
    for (std::size_t word = 0; word < sizeof(T) / 8; ++word)
        if ((cairn::pointer_map<T>[word / 64] >> word % 64 & 1) != 0) words.push_back(static_cast<int>(word));
    return words;
}
using Words = std::vector<int>;

TEST(Layout, MapsFollowTheDeclaration) {
    EXPECT_EQ(words_of<Node>(), (Words{0, 1}));
    EXPECT_EQ(words_of<cairn::Ptr<Node>>(), (Words{0}));
    EXPECT_EQ(words_of<cairn::Ptr<Node>[4]>(), (Words{0, 1, 2, 3}));
    EXPECT_EQ(words_of<Node[2]>(), (Words{0, 1, 3, 4}));
    EXPECT_EQ(words_of<Polymorphic>(), (Words{2}));
    EXPECT_EQ(words_of<SecondBase>(), (Words{3, 4, 6}));
    EXPECT_EQ(words_of<BaseOnly>(), (Words{3, 4}));
    EXPECT_EQ(words_of<InheritedMember>(), (Words{0, 1}));
    EXPECT_EQ(words_of<Arrays>(), (Words{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 14, 15}));
    EXPECT_EQ(words_of<Private>(), (Words{1}));
    EXPECT_EQ(words_of<Aligned>(), (Words{5}));
    EXPECT_EQ(words_of<Wide>(), (Words{125}));
    EXPECT_EQ(words_of<Foreign>(), (Words{1}));
    EXPECT_EQ(words_of<Generic<double>>(), (Words{1}));
    EXPECT_EQ(words_of<Plain>(), (Words{}));
}

TEST(Layout, KindsAreDeducedOnlyWhereNothingCanBeMissed) {
    EXPECT_EQ(cairn::kind_of<int>, Kind::noscan);
    EXPECT_EQ(cairn::kind_of<const char>, Kind::noscan);
    EXPECT_EQ(cairn::kind_of<Colour>, Kind::noscan);
    EXPECT_EQ(cairn::kind_of<double[3][4]>, Kind::noscan);
    EXPECT_EQ((cairn::kind_of<std::array<float, 3>>), Kind::noscan);
    EXPECT_EQ(cairn::kind_of<Plain>, Kind::noscan);
    EXPECT_EQ(cairn::kind_of<Plain[5]>, Kind::noscan);
    EXPECT_EQ(cairn::kind_of<Node>, Kind::typed);
    EXPECT_EQ(cairn::kind_of<const Node>, Kind::typed);
    EXPECT_EQ(cairn::kind_of<cairn::Ptr<Node>>, Kind::typed);
    EXPECT_EQ(cairn::kind_of<cairn::AtomicPtr<Node>>, Kind::typed);
    EXPECT_EQ(cairn::kind_of<Foreign>, Kind::typed);
    EXPECT_EQ(cairn::kind_of<Silent>, Kind::conservative);
    EXPECT_EQ(cairn::kind_of<Silent[2]>, Kind::conservative);
    EXPECT_EQ(cairn::kind_of<int*>, Kind::conservative);
    EXPECT_EQ(cairn::kind_of<std::string>, Kind::conservative);
    EXPECT_EQ((cairn::kind_of<std::array<int*, 3>>), Kind::conservative);
    // A declaration is of its class alone.
    EXPECT_EQ(cairn::kind_of<Heir>, Kind::conservative);
}

TEST(Layout, DescriptorsAreConstantAndComplete) {
    constexpr const cairn_type& type = cairn::type_of<SecondBase>;
    static_assert(type.size == sizeof(SecondBase) && type.align == alignof(SecondBase));
    static_assert(type.kind == CAIRN_TYPED && type.map_words == 7);
    static_assert(type.destroy == nullptr);
    static_assert(cairn::type_of<Aligned>.align == 64);
    static_assert(cairn::type_of<int>.pointer_map == nullptr && cairn::type_of<int>.map_words == 0);
    EXPECT_EQ(type.pointer_map, cairn::pointer_map<SecondBase>.data());
    EXPECT_TRUE(cairn::type_of<Polymorphic>.destroy);
    EXPECT_EQ(*type.shape, 0u);
    EXPECT_NE(type.shape, cairn::type_of<Node>.shape);
    EXPECT_EQ(type.shape, cairn::type_of<const SecondBase>.shape);
    EXPECT_NE(std::string(type.name).find("SecondBase"), std::string::npos);
    EXPECT_STREQ(cairn::type_of<int>.name, "int");
    EXPECT_NE(std::string(cairn::type_of<Generic<double>>.name).find("Generic<double>"), std::string::npos);
}

// Every word the map names, and no other, keeps what it points to.
TEST(Layout, ACollectorFindsWhatTheMapSays) {
    cairn::Root<Arrays> holder = cairn::make<Arrays>();
    Node* expected[14] = {};
    int at = 0;
    const auto fresh = [&] { return expected[at++] = cairn::make<Node>(); };
    for (auto& slot : holder->row) slot = fresh();
    for (auto& row : holder->table)
        for (auto& slot : row) slot = fresh();
    for (auto& slot : holder->standard) slot = fresh();
    holder->atomic = fresh();
    for (auto& node : holder->nested) {
        node.left = fresh();
        node.right = fresh();
    }
    ASSERT_EQ(at, 14);
    cairn::collect();
    for (Node* node : expected) EXPECT_TRUE(small_collector::is_object(node));
    EXPECT_EQ(small_collector::object_count(), 15u);
    small_collector::reset();
}

}  // namespace
