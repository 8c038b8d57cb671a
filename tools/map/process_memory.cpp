// process_vm_readv, /proc/PID/maps, and the dynamic symbols as the loader left them in memory.
// SPDX-License-Identifier: MIT
#include "map/process_memory.hpp"

#include <elf.h>
#include <sys/uio.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <fstream>

namespace cairn::map {

namespace {

constexpr std::size_t pieces_a_call = 1024;  // the kernel's limit
constexpr std::uint32_t symbol_limit = 1u << 22;
constexpr std::size_t header_limit = 64;
constexpr std::size_t notes_limit = 4096;
constexpr std::size_t build_id_limit = 64;

std::uint32_t gnu_hash(std::string_view name) {
    std::uint32_t hash = 5381;
    for (const char c : name) hash = hash * 33 + static_cast<unsigned char>(c);
    return hash;
}

// The build id among the notes of an ELF file, in hexadecimal.
std::string build_id_in(std::string_view notes) {
    const auto padded = [](std::size_t bytes) { return (bytes + 3) / 4 * 4; };
    for (std::size_t at = 0; at + sizeof(Elf64_Nhdr) <= notes.size();) {
        Elf64_Nhdr head{};
        std::memcpy(&head, notes.data() + at, sizeof head);
        const std::size_t name = at + sizeof head;
        const std::size_t from = name + padded(head.n_namesz);
        if (from > notes.size() || head.n_descsz > notes.size() - from) break;
        if (head.n_type == NT_GNU_BUILD_ID && head.n_descsz <= build_id_limit &&
            notes.substr(name, head.n_namesz) == std::string_view("GNU", 4)) {
            std::string text;
            for (const char byte : notes.substr(from, head.n_descsz)) {
                text += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
                text += "0123456789abcdef"[static_cast<unsigned char>(byte) & 15];
            }
            return text;
        }
        at = from + padded(head.n_descsz);
    }
    return {};
}

}  // namespace

std::string build_id_of(const std::string& file) {
    std::ifstream in(file, std::ios::binary);
    Elf64_Ehdr head{};
    if (!in.read(reinterpret_cast<char*>(&head), sizeof head) ||
        std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 || head.e_ident[EI_CLASS] != ELFCLASS64)
        return {};
    std::vector<Elf64_Phdr> rows(std::min<std::size_t>(head.e_phnum, header_limit));
    in.seekg(static_cast<std::streamoff>(head.e_phoff));
    in.read(reinterpret_cast<char*>(rows.data()), static_cast<std::streamsize>(rows.size() * sizeof rows[0]));
    for (const Elf64_Phdr& row : rows) {
        if (!in || row.p_type != PT_NOTE || row.p_filesz > notes_limit) continue;
        std::string notes(row.p_filesz, '\0');
        in.seekg(static_cast<std::streamoff>(row.p_offset));
        in.read(notes.data(), static_cast<std::streamsize>(notes.size()));
        if (std::string found = build_id_in(notes); in && !found.empty()) return found;
    }
    return {};
}

bool ProcessMemory::read(std::uint64_t address, void* to, std::size_t bytes) const {
    const iovec mine{to, bytes};
    const iovec theirs{reinterpret_cast<void*>(address), bytes};
    return process_vm_readv(static_cast<pid_t>(pid_), &mine, 1, &theirs, 1, 0) == static_cast<ssize_t>(bytes);
}

// The kernel stops at the first piece it cannot read; the rest is tried behind it.
void ProcessMemory::gather(std::span<Piece> pieces) const {
    iovec mine[pieces_a_call];
    iovec theirs[pieces_a_call];
    for (std::size_t from = 0; from < pieces.size();) {
        const std::size_t count = std::min(pieces.size() - from, pieces_a_call);
        for (std::size_t i = 0; i < count; ++i) {
            const Piece& piece = pieces[from + i];
            mine[i] = {piece.to, piece.bytes};
            theirs[i] = {reinterpret_cast<void*>(piece.address), piece.bytes};
        }
        ssize_t got = process_vm_readv(static_cast<pid_t>(pid_), mine, count, theirs, count, 0);
        std::size_t done = 0;
        while (done < count && got >= static_cast<ssize_t>(pieces[from + done].bytes)) {
            got -= static_cast<ssize_t>(pieces[from + done].bytes);
            pieces[from + done++].is_read = true;
        }
        from += done == count ? count : done + 1;
    }
}

std::string ProcessMemory::trouble() const {
    const std::string name = "process " + std::to_string(pid_);
    if (kill(static_cast<pid_t>(pid_), 0) != 0 && errno == ESRCH) return "there is no " + name;
    const std::string forbidden =
        name + " may not be read: it is another user's, or kernel.yama.ptrace_scope forbids it";
    std::ifstream maps("/proc/" + std::to_string(pid_) + "/maps");
    if (!maps || (maps.peek() == EOF && maps.bad())) return forbidden;
    char byte = 0;
    for (const Image& image : images()) {
        if (read(image.base, byte)) return {};
        if (errno == EPERM) return forbidden;
    }
    return name + " has ended, or is a part of the kernel: it has no memory of its own";
}

std::vector<ProcessMemory::Image> ProcessMemory::images() const {
    std::vector<Image> found;
    std::ifstream in("/proc/" + std::to_string(pid_) + "/maps");
    for (std::string line; std::getline(in, line);) {
        unsigned long long start = 0, end = 0, offset = 0;
        int name = 0;
        const char* form = "%llx-%llx %*4s %llx %*s %*s %n";
        if (std::sscanf(line.c_str(), form, &start, &end, &offset, &name) < 3 || offset != 0) continue;
        const auto at = static_cast<std::size_t>(name);
        if (at != 0 && at < line.size() && line[at] == '/') found.push_back({start, line.substr(at)});
    }
    return found;
}

std::vector<ProcessMemory::Symbol> ProcessMemory::find_symbols(std::string_view name) const {
    std::vector<Symbol> found;
    for (const Image& image : images()) {
        const Symbols all = symbols_of(image.base);
        if (const std::uint64_t address = symbol_in(all, name))
            found.push_back({address, image.file, all.build_id});
    }
    return found;
}

// Where the loader put the file's own tables; all 0 when it is no file with dynamic symbols.
ProcessMemory::Symbols ProcessMemory::symbols_of(std::uint64_t base) const {
    Elf64_Ehdr head{};
    if (!read(base, head) || std::memcmp(head.e_ident, ELFMAG, SELFMAG) != 0 ||
        head.e_ident[EI_CLASS] != ELFCLASS64 || head.e_phnum > header_limit)
        return {};
    std::vector<Elf64_Phdr> rows(head.e_phnum);
    if (!read(base + head.e_phoff, rows.data(), rows.size() * sizeof(Elf64_Phdr))) return {};
    std::uint64_t first = ~std::uint64_t{0};
    Elf64_Phdr dynamic{};
    for (const Elf64_Phdr& row : rows) {
        if (row.p_type == PT_LOAD) first = std::min(first, row.p_vaddr & ~std::uint64_t{4095});
        if (row.p_type == PT_DYNAMIC) dynamic = row;
    }
    Symbols found;
    found.shift = base - first;
    for (const Elf64_Phdr& row : rows) {
        std::string notes(row.p_type == PT_NOTE ? std::min<std::size_t>(row.p_memsz, notes_limit) : 0, '\0');
        if (!notes.empty() && found.build_id.empty() &&
            read(found.shift + row.p_vaddr, notes.data(), notes.size()))
            found.build_id = build_id_in(notes);
    }
    std::vector<Elf64_Dyn> entries(std::min<std::uint64_t>(dynamic.p_memsz, 65536) / sizeof(Elf64_Dyn));
    if (!read(found.shift + dynamic.p_vaddr, entries.data(), entries.size() * sizeof(Elf64_Dyn))) return {};
    for (const Elf64_Dyn& entry : entries) {
        // the loader writes addresses here, but not in every file
        const std::uint64_t value = entry.d_un.d_ptr >= base ? entry.d_un.d_ptr
                                                             : entry.d_un.d_ptr + found.shift;
        if (entry.d_tag == DT_SYMTAB) found.symbols = value;
        if (entry.d_tag == DT_STRTAB) found.names = value;
        if (entry.d_tag == DT_GNU_HASH) found.hashes = value;
    }
    return found;
}

std::uint64_t ProcessMemory::symbol_in(const Symbols& at, std::string_view name) const {
    struct {
        std::uint32_t buckets, first_symbol, bloom_words, bloom_shift;
    } table{};
    if (at.symbols == 0 || at.names == 0 || at.hashes == 0) return 0;
    if (!read(at.hashes, table) || table.buckets == 0) return 0;
    const std::uint64_t buckets = at.hashes + sizeof table + std::uint64_t{table.bloom_words} * 8;
    const std::uint64_t chains = buckets + std::uint64_t{table.buckets} * 4;
    const std::uint32_t hash = gnu_hash(name);
    std::uint32_t index = 0;
    if (!read(buckets + std::uint64_t{hash % table.buckets} * 4, index)) return 0;
    if (index < table.first_symbol) return 0;
    for (std::uint32_t link = 0; (link & 1) == 0 && index < symbol_limit; ++index) {
        if (!read(chains + std::uint64_t{index - table.first_symbol} * 4, link)) return 0;
        if ((link | 1) != (hash | 1)) continue;
        Elf64_Sym symbol{};
        std::string text(name.size() + 1, '\1');
        if (!read(at.symbols + std::uint64_t{index} * sizeof symbol, symbol) ||
            !read(at.names + symbol.st_name, text.data(), text.size()))
            return 0;
        if (symbol.st_shndx != SHN_UNDEF && text.back() == 0 && text.compare(0, name.size(), name) == 0)
            return at.shift + symbol.st_value;
    }
    return 0;
}

std::string ProcessMemory::command() const {
    std::ifstream in("/proc/" + std::to_string(pid_) + "/cmdline", std::ios::binary);
    std::string line;
    for (std::string word; std::getline(in, word, '\0') && line.size() < 200;)
        line += (line.empty() ? "" : " ") + word;
    return line;
}

}  // namespace cairn::map
