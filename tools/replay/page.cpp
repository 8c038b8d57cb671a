// The page: its frame in HTML, the figures as JSON, the cells as base64, and the script that draws them.
// SPDX-License-Identifier: MIT
#include "replay/page.hpp"

#include <fmt/core.h>

#include <nlohmann/json.hpp>

#include "replay/page_parts.hpp"

namespace cairn::replay {

namespace {

using nlohmann::ordered_json;

std::string base64(const std::uint8_t* bytes, std::size_t count) {
    static constexpr char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    std::string text;
    text.reserve((count + 2) / 3 * 4);
    for (std::size_t i = 0; i < count; i += 3) {
        const std::size_t here = std::min<std::size_t>(3, count - i);
        std::uint32_t word = 0;
        for (std::size_t k = 0; k < 3; ++k) word = word << 8 | (k < here ? bytes[i + k] : 0u);
        for (std::size_t k = 0; k < 4; ++k) text += k <= here ? letters[word >> (18 - 6 * k) & 63] : '=';
    }
    return text;
}

ordered_json cells_of(const Outcome& outcome) {
    ordered_json frames = ordered_json::array();
    for (std::uint32_t i = 0; i < outcome.frames; ++i)
        frames.push_back(base64(outcome.cell[i], outcome.cells));
    ordered_json gaps = ordered_json::array();
    for (std::uint32_t i = 0; i < outcome.gaps; ++i)
        gaps.push_back({outcome.gap[i].before_cell, outcome.gap[i].bytes});
    ordered_json addresses = ordered_json::array();
    for (std::uint32_t i = 0; i < outcome.cells; ++i)
        addresses.push_back(fmt::format("{:x}", outcome.cell_address[i]));
    return {{"cell_bytes", outcome.cell_bytes},
            {"addresses", std::move(addresses)},
            {"gaps", std::move(gaps)},
            {"frames", std::move(frames)}};
}

// JSON between script tags must not end them.
std::string inside_script(const ordered_json& json) {
    std::string text = json.dump(-1, ' ', true, ordered_json::error_handler_t::replace);
    for (std::size_t at = 0; (at = text.find("</", at)) != std::string::npos; at += 3)
        text.insert(at + 1, "\\");
    return text;
}

}  // namespace

std::string html_page(const Comparison& comparison) {
    ordered_json all = to_json(comparison);
    for (std::size_t i = 0; i < comparison.results.size(); ++i)
        all["policies"][i]["cells"] = cells_of(comparison.results[i].outcome());
    std::string page(page_head);
    page +=
        "<script type=\"application/json\" id=\"figures\">" + inside_script(all) + "</script>\n<script>\n";
    page += page_script;
    page += "</script>\n</body>\n</html>\n";
    return page;
}

}  // namespace cairn::replay
