// Finds and judges a program: path, permission bits, capabilities, script lines, ELF headers.
// SPDX-License-Identifier: MIT
#include "program.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/core.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <bit>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string_view>
#include <vector>

#include "verb.hpp"

namespace cairn::cli {

namespace {

constexpr int max_interpreters = 5;  // as many as the kernel follows

// A file open for reading; closed at the end.
class File {
public:
    explicit File(const std::string& path) : fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {}
    ~File() {
        if (fd_ >= 0) close(fd_);
    }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    bool is_open() const { return fd_ >= 0; }
    // Reads up to `bytes` at `offset`; returns how many came.
    std::size_t read(void* to, std::size_t bytes, std::uint64_t offset) const {
        const ssize_t got = pread(fd_, to, bytes, static_cast<off_t>(offset));
        return got < 0 ? 0 : static_cast<std::size_t>(got);
    }
    template <typename T>
    bool read_record(T& to, std::uint64_t offset) const {
        return read(&to, sizeof to, offset) == sizeof to;
    }

private:
    int fd_;
};

Program refusal(int code, std::string error) {
    return {{}, code, std::move(error), {}};
}

Program cannot_preload(const std::string& path, std::string_view why) {
    return refusal(exit_cairn, fmt::format("cannot run {} on Cairn: {}", path, why));
}

std::string_view base_name(std::string_view path) {
    return path.substr(path.rfind('/') + 1);
}

bool is_executable_file(const std::string& path) {
    struct stat status {};
    return stat(path.c_str(), &status) == 0 && S_ISREG(status.st_mode) && access(path.c_str(), X_OK) == 0;
}

// The file execvp would take for `name`. A name that was seen but may not be executed gives 126, else 127.
Program locate(const std::string& name) {
    if (name.find('/') != std::string::npos) {
        if (is_executable_file(name)) return {name, 0, {}, {}};
        struct stat status {};
        if (stat(name.c_str(), &status) != 0) {
            if (errno == ENOENT || errno == ENOTDIR)
                return refusal(exit_not_found, name + ": no such program");
            return refusal(exit_not_executable, fmt::format("{}: {}", name, std::strerror(errno)));
        }
        const std::string_view why = S_ISDIR(status.st_mode) ? "is a directory" : "is not executable";
        return refusal(exit_not_executable, fmt::format("{}: {}", name, why));
    }
    const char* path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "/usr/local/bin:/usr/bin:/bin");
    std::string folder, seen;
    while (!name.empty() && std::getline(folders, folder, ':')) {
        const std::string candidate = (folder.empty() ? "." : folder) + "/" + name;
        if (is_executable_file(candidate)) return {candidate, 0, {}, {}};
        struct stat status {};
        if (seen.empty() && stat(candidate.c_str(), &status) == 0 && S_ISREG(status.st_mode))
            seen = candidate;
    }
    if (!seen.empty()) return refusal(exit_not_executable, seen + ": is not executable");
    return refusal(exit_not_found, fmt::format("'{}': no such program in PATH", name));
}

// Why the system would start this file with more rights than the caller's; empty: it does not.
std::string_view privilege_of(const std::string& path) {
    struct stat status {};
    if (stat(path.c_str(), &status) != 0) return {};
    if ((status.st_mode & S_ISUID) != 0) return "it is setuid, and the system then ignores LD_PRELOAD";
    if ((status.st_mode & S_ISGID) != 0 && (status.st_mode & S_IXGRP) != 0)
        return "it is setgid, and the system then ignores LD_PRELOAD";
    if (getxattr(path.c_str(), "security.capability", nullptr, 0) > 0)
        return "it has file capabilities, and the system then ignores LD_PRELOAD";
    return {};
}

constexpr unsigned char our_class = sizeof(void*) == 8 ? ELFCLASS64 : ELFCLASS32;

// The machine this command was built for, read from its own header.
Elf64_Half our_machine() {
    Elf64_Ehdr header{};
    const File self("/proc/self/exe");
    return self.is_open() && self.read_record(header, 0) ? header.e_machine : Elf64_Half{EM_NONE};
}

// The dynamic linker a program names; empty when it names none: static.
std::string interpreter_of(const File& file, const Elf64_Ehdr& header) {
    for (unsigned i = 0; i < header.e_phnum; ++i) {
        Elf64_Phdr segment{};
        if (!file.read_record(segment, header.e_phoff + std::uint64_t{i} * header.e_phentsize)) return {};
        if (segment.p_type != PT_INTERP) continue;
        std::array<char, 4096> name{};
        const std::size_t bytes =
            file.read(name.data(), std::min<std::size_t>(segment.p_filesz, 4095), segment.p_offset);
        return {name.data(), strnlen(name.data(), bytes)};
    }
    return {};
}

Program judge_elf(const std::string& path, const File& file) {
    Elf64_Ehdr header{};
    if (!file.read_record(header, 0)) return refusal(exit_not_executable, path + ": is cut short");
    if (header.e_ident[EI_CLASS] != our_class)
        return cannot_preload(
            path, fmt::format("it is a {}-bit program and the library is {}-bit",
                              header.e_ident[EI_CLASS] == ELFCLASS64 ? 64 : 32, 8 * sizeof(void*)));
    const Elf64_Half machine = our_machine();
    if (machine != EM_NONE && header.e_machine != machine)
        return cannot_preload(path, "it is built for another processor");
    const std::string linker = interpreter_of(file, header);
    const bool is_linker_itself = header.e_type == ET_DYN && base_name(path).starts_with("ld-linux");
    if (linker.empty() && !is_linker_itself)
        return cannot_preload(path, "it is linked statically, so no library can be loaded before it");
    if (linker.find("ld-musl") != std::string::npos)
        return cannot_preload(path, "it runs on musl, and the library is built for glibc");
    return {path, 0, {}, path};
}

Program judge(const std::string& path, int depth);

// Judges the program that `env` would start, if that can be told from its words.
Program judge_env(const std::string& script, const std::vector<std::string>& words, int depth) {
    for (const std::string& word : words) {
        if (word.starts_with("-") || word.find('=') != std::string::npos) continue;
        const Program started = locate(word);
        if (started.path.empty()) break;  // env itself will say so
        const Program verdict = judge(started.path, depth + 1);
        return verdict.path.empty() ? verdict : Program{script, 0, {}, verdict.image};
    }
    return {script, 0, {}, {}};
}

Program judge_script(const std::string& path, std::string_view line, int depth) {
    std::istringstream stream{std::string(line)};
    std::string interpreter, word;
    stream >> interpreter;
    std::vector<std::string> words;
    while (stream >> word) words.push_back(word);
    struct stat status {};
    if (interpreter.empty() || stat(interpreter.c_str(), &status) != 0)
        return refusal(exit_not_executable,
                       fmt::format("{}: its interpreter {} is missing", path, interpreter));
    if (!is_executable_file(interpreter))
        return refusal(exit_not_executable,
                       fmt::format("{}: its interpreter {} is not executable", path, interpreter));
    const Program verdict = judge(interpreter, depth + 1);
    if (verdict.path.empty()) return verdict;
    return base_name(interpreter) == "env" ? judge_env(path, words, depth)
                                             : Program{path, 0, {}, verdict.image};
}

// Judges an executable file. What cannot be read is let through: the system will judge it.
Program judge(const std::string& path, int depth) {
    if (depth > max_interpreters) return refusal(exit_not_executable, path + ": too many interpreters");
    const File file(path);
    std::array<char, 256> head{};
    const std::size_t bytes = file.is_open() ? file.read(head.data(), head.size(), 0) : 0;
    const std::string_view start(head.data(), bytes);
    if (start.starts_with("#!")) return judge_script(path, start.substr(2, start.find('\n') - 2), depth);
    if (const std::string_view why = privilege_of(path); !why.empty()) return cannot_preload(path, why);
    if (start.starts_with(ELFMAG)) return judge_elf(path, file);
    const std::string_view first_line = start.substr(0, start.find('\n'));
    if (first_line.find('\0') != std::string_view::npos)
        return refusal(exit_not_executable, path + ": is neither a program nor a script");
    return {path, 0, {}, {}};
}

}  // namespace

Program find_program(const std::string& name) {
    const Program found = locate(name);
    return found.path.empty() ? found : judge(found.path, 0);
}

}  // namespace cairn::cli
