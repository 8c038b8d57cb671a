// Reads /proc/PID/maps, and program headers for what the linker calls the address.
// SPDX-License-Identifier: MIT
#include "trace/call_sites.hpp"

#include <elf.h>

#include <cstdio>
#include <fstream>
#include <sstream>

namespace cairn::trace {

namespace {

// Where a byte of the file lies in the file's own address space, less its place in the file.
std::uint64_t address_less_offset(const std::string& file, std::uint64_t offset) {
    std::ifstream in(file, std::ios::binary);
    Elf64_Ehdr head{};
    if (!in.read(reinterpret_cast<char*>(&head), sizeof head)) return 0;
    if (head.e_ident[EI_CLASS] != ELFCLASS64) return 0;
    in.seekg(static_cast<std::streamoff>(head.e_phoff));
    for (unsigned i = 0; i < head.e_phnum; ++i) {
        Elf64_Phdr row{};
        if (!in.read(reinterpret_cast<char*>(&row), sizeof row)) return 0;
        if (row.p_type == PT_LOAD && offset >= (row.p_offset & ~std::uint64_t{4095}) &&
            offset < row.p_offset + row.p_filesz)
            return row.p_vaddr - row.p_offset;
    }
    return 0;
}

}  // namespace

CallSites::CallSites(std::uint32_t pid, const std::string& maps, Writer& writer)
    : pid_(pid), writer_(writer) {
    std::istringstream in(maps);
    read_maps(in);
}

// Adds what is new; what is gone stays, for calls that came from there.
void CallSites::read_maps(std::istream& in) {
    for (std::string line; std::getline(in, line);) {
        unsigned long long start = 0, end = 0, offset = 0;
        int name = 0;
        char rights[5] = {};
        const char* form = "%llx-%llx %4s %llx %*s %*s %n";
        if (std::sscanf(line.c_str(), form, &start, &end, rights, &offset, &name) < 4) continue;
        if (rights[2] != 'x' || name == 0 || static_cast<std::size_t>(name) >= line.size()) continue;
        std::string file = line.substr(static_cast<std::size_t>(name));
        const std::uint64_t shift = start - offset - (file[0] == '/' ? address_less_offset(file, offset) : 0);
        if (mapping_of(start) == nullptr) maps_.push_back({start, end, shift, std::move(file)});
    }
}

const CallSites::Mapping* CallSites::mapping_of(std::uint64_t address) const {
    for (const Mapping& mapping : maps_)
        if (address >= mapping.start && address < mapping.end) return &mapping;
    return nullptr;
}

std::uint32_t CallSites::look_up(std::uint64_t address) {
    if (const auto found = numbers_.find(address); found != numbers_.end()) return found->second;
    const Mapping* mapping = mapping_of(address);
    // code that was made while running is in no file: after some of it, do not look again each time
    if (mapping == nullptr && (misses_ < 64 || misses_ % 64 == 0)) {
        std::ifstream in("/proc/" + std::to_string(pid_) + "/maps");
        read_maps(in);
        mapping = mapping_of(address);
    }
    misses_ += mapping == nullptr;
    const Site site = mapping == nullptr ? Site{{}, address} : Site{mapping->file, address - mapping->shift};
    const std::uint32_t number = writer_.add_site(site);
    numbers_.emplace(address, number);
    return number;
}

}  // namespace cairn::trace
