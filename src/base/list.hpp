// Intrusive doubly linked list: a node is in at most one list, and knows when it is in none.
//
// Not synchronised: the list belongs to whoever holds its lock.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "base/heap_fields.hpp"

namespace cairn::base {

template <class Node>
struct ListLink {
    Node* next = nullptr;  // [lock] of the list
    Node* previous = nullptr;
    bool is_listed = false;
};

// `link` names the member of Node that holds this list's link.
template <class Node, ListLink<Node> Node::* link>
class List {
public:
    [[nodiscard]] Node* first() const { return first_; }
    [[nodiscard]] Node* last() const { return last_; }
    [[nodiscard]] bool is_empty() const { return first_ == nullptr; }
    [[nodiscard]] std::size_t count() const { return count_; }
    [[nodiscard]] static Node* next(const Node* node) { return (node->*link).next; }

    void push_front(Node* node) {
        (node->*link) = {first_, nullptr, true};
        if (first_ != nullptr) (first_->*link).previous = node;
        else last_ = node;
        first_ = node;
        ++count_;
    }

    void push_back(Node* node) {
        (node->*link) = {nullptr, last_, true};
        if (last_ != nullptr) (last_->*link).next = node;
        else first_ = node;
        last_ = node;
        ++count_;
    }

    void remove(Node* node) {
        ListLink<Node>& at = node->*link;
        if (at.previous != nullptr) (at.previous->*link).next = at.next;
        else first_ = at.next;
        if (at.next != nullptr) (at.next->*link).previous = at.previous;
        else last_ = at.previous;
        at = {};
        --count_;
    }

    // Moves all nodes of `other` to the end of this list. Cost: the same however many.
    void take_all(List& other) {
        if (other.first_ == nullptr) return;
        if (last_ != nullptr) {
            (last_->*link).next = other.first_;
            (other.first_->*link).previous = last_;
        } else {
            first_ = other.first_;
        }
        last_ = other.last_;
        count_ += other.count_;
        other = {};
    }

    Node* pop_front() {
        Node* node = first_;
        if (node != nullptr) remove(node);
        return node;
    }

private:
    friend struct HeapFields;
    Node* first_ = nullptr;
    Node* last_ = nullptr;
    std::size_t count_ = 0;
};

}  // namespace cairn::base
