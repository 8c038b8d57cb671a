// Sums, event by event.
// SPDX-License-Identifier: MIT
#include "trace/statistics.hpp"

#include <algorithm>
#include <bit>

namespace cairn::trace {

void Histogram::add(std::uint64_t value) {
    Bucket& bucket = buckets[static_cast<unsigned>(std::bit_width(value))];
    ++bucket.count;
    bucket.sum += value;
}

void Timeline::note(std::uint64_t time_ns, Point value) {
    while (time_ns / step_ns_ >= most) {
        for (std::size_t i = 0; i < points_.size(); i += 2) {
            Point& into = points_[i / 2] = points_[i];
            if (i + 1 == points_.size()) continue;
            into.bytes = std::max(into.bytes, points_[i + 1].bytes);
            into.objects = std::max(into.objects, points_[i + 1].objects);
        }
        points_.resize((points_.size() + 1) / 2);
        step_ns_ *= 2;
    }
    const std::size_t at = time_ns / step_ns_;
    if (points_.size() <= at) points_.resize(at + 1, last_);  // nothing happened in between
    points_[at].bytes = std::max(points_[at].bytes, value.bytes);
    points_[at].objects = std::max(points_[at].objects, value.objects);
    last_ = value;
}

void LiveObjects::put(std::uint64_t id, const Live& object) {
    const std::size_t at = id / piece_objects;
    if (pieces_.size() <= at) {
        if (!pieces_.empty() && pieces_.back() != nullptr) {
            pieces_.back()->is_full = true;
            if (pieces_.back()->live == 0) pieces_.back().reset();
        }
        pieces_.resize(at + 1);
        pieces_[at] = std::make_unique<Piece>();
    }
    pieces_[at]->objects[id % piece_objects] = object;
    ++pieces_[at]->live;
}

Live* LiveObjects::find(std::uint64_t id) {
    const std::size_t at = id / piece_objects;
    if (at >= pieces_.size() || pieces_[at] == nullptr) return nullptr;
    Live& object = pieces_[at]->objects[id % piece_objects];
    return object.is_live ? &object : nullptr;
}

void LiveObjects::drop(std::uint64_t id) {
    std::unique_ptr<Piece>& piece = pieces_[id / piece_objects];
    piece->objects[id % piece_objects].is_live = false;
    if (--piece->live == 0 && piece->is_full) piece.reset();
}

ThreadSums& Statistics::thread_of(const Event& event) {
    if (threads.size() <= event.thread) threads.resize(event.thread + 1);
    ThreadSums& thread = threads[event.thread];
    if (thread.first_ns == 0) thread.first_ns = event.time_ns;
    thread.last_ns = event.time_ns;
    return thread;
}

SiteSums& Statistics::site_of(std::uint32_t site) {
    if (sites.size() <= site) sites.resize(site + 1);
    return sites[site];
}

void Statistics::note_live(std::uint64_t time_ns) {
    live.note(time_ns, {live_bytes, live_objects});
    if (live_bytes <= peak_bytes) return;
    peak_bytes = live_bytes;
    peak_objects = live_objects;
    peak_ns = time_ns;
}

void Statistics::made(const Event& event) {
    objects_.put(event.id, {event.time_ns, event.size, event.thread, event.site, true});
    sizes.add(event.size);
    if (event.align != 0) alignments.add(event.align);
    allocated_bytes += event.size;
    live_bytes += event.size;
    ++live_objects;
    ThreadSums& thread = thread_of(event);
    ++thread.allocations;
    thread.bytes += event.size;
    SiteSums& site = site_of(event.site);
    ++site.allocations;
    ++site.live;
    site.bytes += event.size;
    site.live_bytes += event.size;
}

void Statistics::resized(const Event& event) {
    Live* object = objects_.find(event.id);
    if (object == nullptr) {
        ++wrong_frees;
        return;
    }
    sizes.add(event.size);
    SiteSums& site = site_of(object->site);
    if (event.size > object->size) {
        const std::uint64_t more = event.size - object->size;
        allocated_bytes += more;
        site.bytes += more;
        thread_of(event).bytes += more;
    }
    site.live_bytes += event.size - object->size;
    live_bytes += event.size - object->size;
    object->size = event.size;
}

void Statistics::freed(const Event& event) {
    ThreadSums& thread = thread_of(event);
    ++thread.frees;
    const Live* object = event.id == 0 ? nullptr : objects_.find(event.id);
    if (object == nullptr) {
        ++(event.id == 0 ? unknown_frees : wrong_frees);
        return;
    }
    lifetimes_ns.add(event.time_ns - object->time_ns);
    if (object->thread != event.thread) {
        ++foreign_frees;
        ++thread.foreign_frees;
    }
    live_bytes -= object->size;
    --live_objects;
    SiteSums& site = site_of(object->site);
    --site.live;
    site.live_bytes -= object->size;
    objects_.drop(event.id);
}

void Statistics::add(const Event& event) {
    ++events;
    ++ops[static_cast<unsigned>(event.op)];
    last_ns = event.time_ns;
    if (makes_object(event.op)) made(event);
    else if (event.op == Op::reallocate) resized(event);
    else if (event.op == Op::release) freed(event);
    note_live(event.time_ns);
}

}  // namespace cairn::trace
