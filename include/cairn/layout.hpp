// What a type's objects hold, worked out at compile time: no pointers, pointers at known words, or anything.
//
//   arithmetic, enumerations, arrays of such          noscan
//   Ptr<T>, arrays of them                            typed
//   a class that says so in one line                  typed, or noscan when it lists nothing
//   every other class                                 conservative: right whatever it holds
//
//   struct Node : Named {
//       cairn::Ptr<Node> next, children[2];
//       long value;
//       static constexpr auto cairn_pointers =
//           cairn::pointers<Node>(cairn::base<Named>, &Node::next, &Node::children);
//   };
//
// The line lists every Ptr member, every member of a class with such a line of its own, and every base that
// has one; `Node` need not be named when there is no base. It must be public and is not inherited. A class
// that holds raw pointers into the heap must not have it. For a class that is not yours, specialise
// `cairn::pointers_of`. What is listed and is no such member is refused when it is compiled.
// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string_view>
#include <tuple>
#include <type_traits>

#include "cairn/ptr.hpp"

namespace cairn {

// ---- what a class says of itself

template <class Base>
struct BasePart {};
template <class Base>
inline constexpr BasePart<Base> base{};

template <class Owner_, class... Parts>
struct Pointers {
    using Owner = Owner_;
    std::tuple<Parts...> parts;
};

template <class... Parts>
struct OwnerOf;
template <class Owner, class Member, class... Rest>
struct OwnerOf<Member Owner::*, Rest...> {
    using type = Owner;
};
template <class Base, class... Rest>
struct OwnerOf<BasePart<Base>, Rest...> : OwnerOf<Rest...> {};

// The Ptr members (and bases) of Owner; without arguments, `pointers<Owner>()`: it holds none.
template <class Owner, class... Parts>
[[nodiscard]] constexpr Pointers<Owner, Parts...> pointers(Parts... parts) noexcept {
    return {std::tuple<Parts...>(parts...)};
}
template <class... Parts, class Owner = typename OwnerOf<Parts...>::type>
[[nodiscard]] constexpr Pointers<Owner, Parts...> pointers(Parts... parts) noexcept {
    return {std::tuple<Parts...>(parts...)};
}

struct NoDeclaration {};

template <class T>
concept DeclaresPointers = requires {
    requires std::is_same_v<typename std::remove_cvref_t<decltype(T::cairn_pointers)>::Owner, T>;
};

template <class T>
[[nodiscard]] constexpr auto own_declaration() noexcept {
    if constexpr (DeclaresPointers<T>) return T::cairn_pointers;
    else return NoDeclaration{};
}

// Specialise it for a class that cannot have the line inside.
template <class T>
inline constexpr auto pointers_of = own_declaration<T>();

template <class T>
inline constexpr bool is_declared =
    !std::is_same_v<std::remove_cv_t<decltype(pointers_of<T>)>, NoDeclaration>;

// ---- where a member lies

// Storage that is declared and nowhere defined: only its addresses are looked at, while compiling.
template <class T>
union Place {
    Place();
    ~Place();
    unsigned char bytes[sizeof(T)];
    T object;
};
#ifdef __clang__
#pragma clang diagnostic push
#pragma clang diagnostic ignored "-Wundefined-var-template"
#pragma clang diagnostic ignored "-Wundefined-internal"
#endif
template <class T>
extern Place<T> place;

inline constexpr std::size_t word_bytes = 8;

// Has no body: to reach it while compiling is the error, and its name the message.
std::size_t a_listed_member_is_not_aligned_to_8_bytes();

// The word of T at which `part`, an address inside place<T>.object, starts.
template <class T>
[[nodiscard]] constexpr std::size_t word_at(const void* part) {
    for (std::size_t byte = 0; byte < sizeof(T); byte += word_bytes)
        if (static_cast<const void*>(place<T>.bytes + byte) == part) return byte / word_bytes;
    return a_listed_member_is_not_aligned_to_8_bytes();
}

// ---- which words of a type hold pointers

template <class T>
inline constexpr bool is_pointer_field = false;
template <class T>
inline constexpr bool is_pointer_field<Ptr<T>> = true;
template <class T>
inline constexpr bool is_pointer_field<AtomicPtr<T>> = true;

template <class T>
struct ArrayOf {
    static constexpr std::size_t count = 0;
    using Element = T;
};
template <class T, std::size_t count_>
struct ArrayOf<T[count_]> {
    static constexpr std::size_t count = count_;
    using Element = std::remove_cv_t<T>;
};
template <class T, std::size_t count_>
struct ArrayOf<std::array<T, count_>> : ArrayOf<T[count_]> {};
template <class T>
struct ArrayOf<std::array<T, 0>> : ArrayOf<T> {};

// True for what cairn can tell all about: its map may still be empty.
template <class T>
[[nodiscard]] constexpr bool is_known() {
    if constexpr (ArrayOf<T>::count != 0) return is_known<typename ArrayOf<T>::Element>();
    else return std::is_arithmetic_v<T> || std::is_enum_v<T> || is_pointer_field<T> || is_declared<T>;
}

// Bit i of element i / 64: word i of a T holds a pointer.
template <class T>
using PointerMap = std::array<std::uint64_t, sizeof(T) / word_bytes / 64 + 1>;

template <class Whole, class Part>
constexpr void merge(Whole& whole, std::size_t at, const Part& part, std::size_t words) {
    for (std::size_t word = 0; word < words; ++word)
        if ((part[word / 64] >> word % 64 & 1) != 0)
            whole[(at + word) / 64] |= std::uint64_t{1} << (at + word) % 64;
}

template <class T>
[[nodiscard]] constexpr PointerMap<T> map_of();

// Adds a listed base, a listed member, to the map of Owner.
template <class Owner, class Base>
constexpr void add(PointerMap<Owner>& map, BasePart<Base>) {
    static_assert(std::is_base_of_v<Base, Owner>,
                  "cairn::pointers: cairn::base<B> of a class that is no base");
    static_assert(is_known<Base>(), "cairn::pointers: this base needs a line `cairn_pointers` of its own");
    const Base& part = place<Owner>.object;  // a pointer would be compared with null first
    merge(map, word_at<Owner>(std::addressof(part)), map_of<Base>(), sizeof(Base) / word_bytes);
}
template <class Owner, class M, class C>
constexpr void add(PointerMap<Owner>& map, M C::*member) {
    using Member = std::remove_cv_t<M>;
    static_assert(std::is_base_of_v<C, Owner>, "cairn::pointers: a listed member is of another class");
    static_assert(is_known<Member>() && !std::is_arithmetic_v<Member> && !std::is_enum_v<Member>,
                  "cairn::pointers: a listed member is no cairn::Ptr, no array of them, and of no class that "
                  "has a line `cairn_pointers`");
    M Owner::*own = member;
    merge(map, word_at<Owner>(std::addressof(place<Owner>.object.*own)), map_of<Member>(),
          sizeof(Member) / word_bytes);
}

template <class T>
constexpr PointerMap<T> map_of() {
    PointerMap<T> map{};
    if constexpr (is_pointer_field<T>) {
        map[0] = 1;
    } else if constexpr (ArrayOf<T>::count != 0 && is_known<T>()) {
        using Element = typename ArrayOf<T>::Element;
        constexpr auto element = map_of<Element>();
        for (std::size_t i = 0; i < ArrayOf<T>::count; ++i)
            merge(map, i * (sizeof(Element) / word_bytes), element, sizeof(Element) / word_bytes);
    } else if constexpr (is_declared<T>) {
        std::apply([&map](auto... part) { (add<T>(map, part), ...); }, pointers_of<T>.parts);
    }
    return map;
}

template <class T>
inline constexpr PointerMap<T> pointer_map = map_of<T>();
#ifdef __clang__
#pragma clang diagnostic pop
#endif

// ---- the descriptor

enum class Kind : std::uint32_t {
    noscan = CAIRN_NOSCAN,
    typed = CAIRN_TYPED,
    conservative = CAIRN_CONSERVATIVE,
};

template <class T>
[[nodiscard]] constexpr Kind find_kind() {
    if constexpr (!is_known<T>()) {
        return Kind::conservative;
    } else {
        for (const std::uint64_t bits : pointer_map<T>)
            if (bits != 0) return Kind::typed;
        return Kind::noscan;
    }
}
template <class T>
inline constexpr Kind kind_of = find_kind<std::remove_cv_t<T>>();

// Specialise it to false where the destructor of collected objects need not run, since all it does is to free
// memory of this heap: then they get no finalizer.
template <class T>
inline constexpr bool needs_destructor = !std::is_trivially_destructible_v<T>;

// The name of T as the compiler writes it.
template <class T>
[[nodiscard]] constexpr auto spell() {
    constexpr std::string_view whole = __PRETTY_FUNCTION__;
    constexpr std::size_t begin = whole.find("T = ") + 4;
    constexpr std::string_view name = whole.substr(begin, whole.find_last_of(']') - begin);
    std::array<char, name.size() + 1> text{};
    for (std::size_t i = 0; i < name.size(); ++i) text[i] = name[i];
    return text;
}
template <class T>
inline constexpr auto type_name = spell<T>();

// The runtime's cell beside the constant descriptor.
template <class T>
inline constinit std::uint32_t shape_cell = 0;

template <class T>
void destroy_object(void* object) {
    std::destroy_at(static_cast<T*>(object));
}

template <class T>
[[nodiscard]] constexpr cairn_type describe() {
    constexpr bool is_typed = kind_of<T> == Kind::typed;
    cairn_type type{};
    type.size = sizeof(T);
    type.align = alignof(T);
    type.kind = static_cast<std::uint32_t>(kind_of<T>);
    if constexpr (is_typed) {
        type.map_words = sizeof(T) / word_bytes;
        type.pointer_map = pointer_map<T>.data();
    }
    if constexpr (needs_destructor<T>) type.destroy = &destroy_object<T>;
    type.name = type_name<T>.data();
    type.shape = &shape_cell<T>;
    return type;
}
template <class T>
inline constexpr cairn_type type_of = describe<std::remove_cv_t<T>>();

}  // namespace cairn
