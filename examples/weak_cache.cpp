// A cache that never keeps anything alive: parsed documents are shared while somebody reads them.
//
// The map holds weak pointers. A document that is still in use somewhere is found again; one that nobody uses
// is gone with the next cycle, and a cleanup takes its line out of the map.
// SPDX-License-Identifier: MIT
#include <cstdio>
#include <mutex>
#include <string>
#include <unordered_map>

#include "cairn/cairn.hpp"

struct Document {
    std::string name;  // frees its memory: the document gets a finalizer, made from its destructor
    long words = 0;
};

class Cache {
public:
    // The document of that name, parsed if nobody has it.
    Document* get(const std::string& name) {
        const std::lock_guard guard(lock_);
        cairn::Weak<Document>& known = documents_[name];
        if (Document* document = known.get()) return document;
        ++parsed_;
        Document* document = cairn::make<Document>(name, static_cast<long>(name.size()));
        known = document;
        cairn::on_unreachable(document, [this, name] { drop(name); });
        return document;
    }
    [[nodiscard]] std::size_t size() {
        const std::lock_guard guard(lock_);
        return documents_.size();
    }
    [[nodiscard]] int parsed() const { return parsed_; }

private:
    // Runs on the finalizer thread. Somebody may have parsed the document anew meanwhile.
    void drop(const std::string& name) {
        const std::lock_guard guard(lock_);
        const auto found = documents_.find(name);
        if (found != documents_.end() && found->second.get() == nullptr) documents_.erase(found);
    }

    std::mutex lock_;
    std::unordered_map<std::string, cairn::Weak<Document>> documents_;
    int parsed_ = 0;
};

// Reads many documents once each.
[[gnu::noinline]] long read_library(Cache& cache, int count) {
    long words = 0;
    for (int i = 0; i < count; ++i) words += cache.get("document number " + std::to_string(i))->words;
    return words;
}

int main() {
    constexpr int count = 10'000;
    cairn::finalizers(cairn::Finalizers::drained);  // so that this program says when: its output is its test
    Cache cache;
    cairn::Root<Document> favourite = cache.get("document number 7");
    const long words = read_library(cache, count);
    if (cache.get("document number 7") != favourite) return 1;
    std::printf("%d documents, %ld words; %d parsed\n", count, words, cache.parsed());

    for (int i = 0; i < 3; ++i) {
        cairn::collect();
        cairn::run_finalizers();
    }
    std::printf("later the cache knows about %s of them\n", cache.size() < 100 ? "hardly any" : "many");
    if (cache.get("document number 7") != favourite) return 1;
    std::printf("the one in use is still there: %s\n", favourite->name.c_str());
    return cache.parsed() == count && cache.size() < 100 ? 0 : 1;
}
