// What a program can do wrong with malloc's pointers, and the one line that says so.
//
// A mistake stops the program unless it asked to go on (CAIRN_ON_MISUSE=report); then the wrong call does
// nothing.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.hpp"
#include "os/process.hpp"

namespace cairn::heap {

enum class Call : std::uint8_t { free, realloc, usable_size };

class Misuse {
public:
    bool is_fatal = true;  // [fixed] set at start-up

    void double_free_small(std::uintptr_t address, std::size_t slot_bytes) const {
        base::Message line;
        line << "double free of ";
        line.hex(address) << " (" << slot_bytes << "-byte class)";
        say(line);
    }
    void double_free_large(std::uintptr_t address, std::size_t bytes) const {
        base::Message line;
        line << "double free of ";
        line.hex(address) << " (large, " << bytes << " bytes)";
        say(line);
    }
    // `slot_bytes` 0 means a large object.
    void interior(Call call, std::uintptr_t address, std::uintptr_t object, std::size_t slot_bytes) const {
        base::Message line;
        line << verb(call) << "interior pointer ";
        line.hex(address) << " (";
        if (slot_bytes == 0) line << "large";
        else line << slot_bytes << "-byte class";
        line << ", object at ";
        line.hex(object) << ")";
        say(line);
    }
    // `slot_bytes` 0 means a large object.
    void freed(Call call, std::uintptr_t address, std::size_t slot_bytes) const {
        base::Message line;
        line << verb(call) << "freed pointer ";
        line.hex(address) << " (";
        if (slot_bytes == 0) line << "large)";
        else line << slot_bytes << "-byte class)";
        say(line);
    }
    // An address that is none of ours: says whether it is in the caller's stack.
    void foreign(Call call, std::uintptr_t address) const {
        base::Message line;
        line << verb(call) << (os::is_on_current_stack(address) ? "stack" : "foreign") << " pointer ";
        line.hex(address);
        say(line);
    }

private:
    static std::string_view verb(Call call) {
        switch (call) {
            case Call::realloc: return "realloc of ";
            case Call::usable_size: return "usable size of ";
            default: return "free of ";
        }
    }
    void say(const base::Message& line) const {
        if (is_fatal) base::fatal(line.view());
        base::report(line.view());
    }
};

}  // namespace cairn::heap
