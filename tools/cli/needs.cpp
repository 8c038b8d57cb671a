// Walks DT_NEEDED entries; see needs.hpp.
// SPDX-License-Identifier: MIT
#include "needs.hpp"

#include <elf.h>

#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>
#include <vector>

namespace cairn::cli {

namespace {

namespace fs = std::filesystem;

// The parts of a dynamic section that say what is loaded and from where.
struct Needs {
    std::vector<std::string> libraries;
    std::vector<std::string> folders;  // RPATH and RUNPATH, $ORIGIN replaced
};

class Image {
public:
    explicit Image(const fs::path& path) : file_(path, std::ios::binary) {}

    template <class T>
    bool read(T& to, std::uint64_t at) {
        file_.clear();
        file_.seekg(static_cast<std::streamoff>(at));
        return static_cast<bool>(file_.read(reinterpret_cast<char*>(&to), sizeof to));
    }
    std::string text(std::uint64_t at) {
        file_.clear();
        file_.seekg(static_cast<std::streamoff>(at));
        std::string found;
        std::getline(file_, found, '\0');
        return found;
    }

private:
    std::ifstream file_;
};

void split(std::string_view list, const fs::path& origin, std::vector<std::string>& into) {
    std::istringstream stream{std::string(list)};
    for (std::string folder; std::getline(stream, folder, ':');) {
        for (const std::string_view name : {"$ORIGIN", "${ORIGIN}"})
            if (const auto at = folder.find(name); at != std::string::npos)
                folder.replace(at, name.size(), origin.string());
        if (!folder.empty()) into.push_back(folder);
    }
}

Needs needs_of(const fs::path& path) {
    Image image(path);
    Elf64_Ehdr header{};
    Needs needs;
    if (!image.read(header, 0) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return needs;
    if (header.e_ident[EI_CLASS] != ELFCLASS64) return needs;
    std::vector<Elf64_Phdr> segments(header.e_phnum);
    for (unsigned i = 0; i < header.e_phnum; ++i)
        if (!image.read(segments[i], header.e_phoff + std::uint64_t{i} * header.e_phentsize)) return needs;
    const auto offset_of = [&](std::uint64_t address) -> std::uint64_t {
        for (const Elf64_Phdr& part : segments)
            if (part.p_type == PT_LOAD && address - part.p_vaddr < part.p_filesz)
                return address - part.p_vaddr + part.p_offset;
        return 0;
    };
    std::vector<Elf64_Dyn> entries;
    std::uint64_t strings = 0;
    for (const Elf64_Phdr& part : segments) {
        if (part.p_type != PT_DYNAMIC) continue;
        Elf64_Dyn entry{};
        for (std::uint64_t at = 0; at < part.p_filesz; at += sizeof entry) {
            if (!image.read(entry, part.p_offset + at) || entry.d_tag == DT_NULL) break;
            if (entry.d_tag == DT_STRTAB) strings = offset_of(entry.d_un.d_ptr);
            entries.push_back(entry);
        }
    }
    std::error_code failure;
    const fs::path origin = fs::canonical(path, failure).parent_path();
    for (const Elf64_Dyn& entry : entries) {
        if (entry.d_tag == DT_NEEDED) needs.libraries.push_back(image.text(strings + entry.d_un.d_val));
        if (entry.d_tag == DT_RPATH || entry.d_tag == DT_RUNPATH)
            split(image.text(strings + entry.d_un.d_val), origin, needs.folders);
    }
    return needs;
}

// Where the system's libraries lie, beside the folders that a file or the user names.
std::vector<std::string> standard_folders() {
    std::vector<std::string> folders;
    if (const char* given = std::getenv("LD_LIBRARY_PATH")) split(given, {}, folders);
    std::error_code failure;
    for (const auto& part : fs::directory_iterator("/etc/ld.so.conf.d", failure)) {
        std::ifstream lines(part.path());
        for (std::string line; std::getline(lines, line);)
            if (line.starts_with("/")) folders.push_back(line);
    }
    for (const char* folder : {"/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/lib64", "/usr/lib64",
                               "/lib", "/usr/lib", "/usr/local/lib"})
        folders.emplace_back(folder);
    return folders;
}

fs::path find(const std::string& name, std::initializer_list<const std::vector<std::string>*> places) {
    std::error_code failure;
    for (const std::vector<std::string>* folders : places)
        for (const std::string& folder : *folders)
            if (fs::path place = fs::path(folder) / name; fs::is_regular_file(place, failure)) return place;
    return {};
}

}  // namespace

bool needs_library(const std::string& path, std::string_view library) {
    const std::vector<std::string> standard = standard_folders();
    std::set<std::string> seen;
    std::vector<fs::path> waiting{path};
    while (!waiting.empty()) {
        const Needs needs = needs_of(waiting.back());
        waiting.pop_back();
        for (const std::string& name : needs.libraries) {
            if (name == library) return true;
            if (!seen.insert(name).second) continue;
            const fs::path found = find(name, {&needs.folders, &standard});
            if (!found.empty()) waiting.push_back(found);
        }
    }
    return false;
}

}  // namespace cairn::cli
