// Another process's memory: read without stopping it, and searched for an exported symbol.
// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::map {

class ProcessMemory {
public:
    explicit ProcessMemory(std::uint32_t pid) : pid_(pid) {}

    // False when a byte of it cannot be read.
    [[nodiscard]] bool read(std::uint64_t address, void* to, std::size_t bytes) const;
    template <class Value>
    [[nodiscard]] bool read(std::uint64_t address, Value& value) const {
        return read(address, &value, sizeof value);
    }

    struct Piece {
        std::uint64_t address;
        void* to;
        std::size_t bytes;
        bool is_read = false;
    };
    // Reads many pieces with few calls; each says whether it was read.
    void gather(std::span<Piece> pieces) const;

    // Why nothing can be read, in words; empty when something can.
    [[nodiscard]] std::string trouble() const;
    struct Symbol {
        std::uint64_t address;
        std::string file;
        std::string build_id;  // in hexadecimal; empty: the file has none
    };
    // An exported object, in every loaded file that has one.
    [[nodiscard]] std::vector<Symbol> find_symbols(std::string_view name) const;
    [[nodiscard]] std::string command() const;
    [[nodiscard]] std::uint32_t pid() const { return pid_; }

private:
    struct Image {
        std::uint64_t base;
        std::string file;
    };
    struct Symbols {
        std::uint64_t shift = 0;
        std::string build_id;
        std::uint64_t symbols = 0;
        std::uint64_t names = 0;
        std::uint64_t hashes = 0;
    };
    [[nodiscard]] std::vector<Image> images() const;
    [[nodiscard]] Symbols symbols_of(std::uint64_t base) const;
    [[nodiscard]] std::uint64_t symbol_in(const Symbols& at, std::string_view name) const;

    std::uint32_t pid_;
};

// The build id of a library or program on disk, in hexadecimal; empty: it has none, or cannot be read.
[[nodiscard]] std::string build_id_of(const std::string& file);

}  // namespace cairn::map
